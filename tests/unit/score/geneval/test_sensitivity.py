"""Verdicts at other thresholds, from the objects of one detection pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfe_eval.records import Prompt, Requirement, ScoredObject
from selfe_eval.score.geneval.float32 import to_float32
from selfe_eval.score.geneval.rules import GENEVAL_LIMITS, Limits, evaluate, keep_objects
from selfe_eval.score.geneval.sensitivity import thresholds_around, verdicts_around

GOLDEN = Path(__file__).parents[3] / "reference" / "geneval" / "evaluate_image.jsonl"
RED_DOG = Prompt(
    prompt_id=0,
    task="colors",
    text="a photo of a red dog",
    include=(Requirement(class_name="dog", count=1, color="red"),),
)
TWO_DOGS = Prompt(
    prompt_id=1,
    task="counting",
    text="a photo of two dogs",
    include=(Requirement(class_name="dog", count=2),),
    exclude=(Requirement(class_name="dog", count=3),),
)


def dog(score: float, color: str | None = None) -> ScoredObject:
    return ScoredObject(box=(0, 0, 9, 9), score=to_float32(score), color=color)


def split(
    raw: dict[str, list[ScoredObject]], task: str
) -> tuple[dict[str, list[ScoredObject]], dict[str, list[ScoredObject]]]:
    """Objects and weaker objects as a scorer with the official thresholds records them."""
    counted = keep_objects(raw, task)
    seen = keep_objects(raw, task, Limits(confidence=0.2, counting=0.8))
    weaker = {name: found[len(counted.get(name, ())) :] for name, found in seen.items()}
    return counted, {name: found for name, found in weaker.items() if found}


def test_the_official_thresholds_are_tried_as_published() -> None:
    """Around 0.3 and 0.9 these are exactly 0.2 to 0.4 and 0.8 to 0.95, in steps of 0.05."""
    assert thresholds_around("colors", GENEVAL_LIMITS) == (0.2, 0.25, 0.3, 0.35, 0.4)
    assert thresholds_around("counting", GENEVAL_LIMITS) == (0.8, 0.85, 0.9, 0.95)


def test_thresholds_that_no_score_can_pass_are_left_out() -> None:
    """A threshold of 1 or more, or below 0, says nothing; the own one always stays, to the last digit."""
    assert thresholds_around("counting", Limits(counting=0.9612346)) == (0.861235, 0.911235, 0.9612346)
    assert thresholds_around("colors", Limits(confidence=0.05)) == (0.0, 0.05, 0.1, 0.15)


def test_an_object_counts_from_its_score_downwards() -> None:
    """A dog of 0.32 is found up to the threshold 0.3 and lost from 0.35 on."""
    verdicts = verdicts_around(RED_DOG, {"dog": [dog(0.32, "red")]}, {}, GENEVAL_LIMITS)

    assert [verdict.correct for verdict in verdicts.values()] == [True, True, True, False, False]
    assert verdicts[0.35].reason == "expected dog>=1, found 0"


def test_weaker_objects_join_at_lower_thresholds() -> None:
    """A second and a third dog that miss 0.9 make the count right at 0.85 and wrong at 0.8."""
    weaker = {"dog": [dog(0.88), dog(0.84)]}

    verdicts = verdicts_around(TWO_DOGS, {"dog": [dog(0.96)]}, weaker, GENEVAL_LIMITS)

    assert {t: verdict.correct for t, verdict in verdicts.items()} == {
        0.8: False,
        0.85: True,
        0.9: False,
        0.95: False,
    }


def test_a_color_that_is_missing_is_an_error() -> None:
    """Where a verdict at a lower threshold needs a colour that was not recorded, there is no verdict."""
    with pytest.raises(ValueError, match="needs a colour"):
        verdicts_around(RED_DOG, {}, {"dog": [dog(0.25)]}, GENEVAL_LIMITS)


def cases() -> list[dict[str, Any]]:
    return [json.loads(line) for line in GOLDEN.read_text().splitlines()]


def test_every_threshold_agrees_with_judging_all_detections_at_it() -> None:
    """On the reference's own cases the recorded split gives the verdict of all raw detections, reason included."""
    for number, case in enumerate(cases(), 1):
        prompt = Prompt.from_metadata(0, case["metadata"])
        raw = {
            name: [
                ScoredObject(box=tuple(o["box"]), score=o["score"], color=o["color"] or "red")
                for o in objects
            ]
            for name, objects in case["detections"].items()
        }
        verdicts = verdicts_around(prompt, *split(raw, prompt.task), GENEVAL_LIMITS)
        for threshold, verdict in verdicts.items():
            limits = Limits(confidence=threshold, counting=threshold)
            assert verdict == evaluate(prompt, keep_objects(raw, prompt.task, limits), limits), (
                f"line {number}"
            )


@given(scores=st.lists(st.sampled_from((0.82, 0.88, 0.92, 0.97)), max_size=8), data=st.data())
def test_equal_scores_keep_their_order(scores: list[float], data: st.DataObject) -> None:
    """Dogs of equal confidence and different colours: the first by the rules is the first at every threshold."""
    colors = data.draw(st.lists(st.sampled_from(("red", "blue")), min_size=len(scores), max_size=len(scores)))
    raw = {"dog": [dog(score, color) for score, color in zip(scores, colors, strict=True)]}
    own = Limits(confidence=0.9)
    counted = keep_objects(raw, "colors", own)
    seen = keep_objects(raw, "colors", Limits(confidence=0.8))
    weaker = {name: found[len(counted.get(name, ())) :] for name, found in seen.items()}

    for threshold, verdict in verdicts_around(RED_DOG, counted, weaker, own).items():
        limits = Limits(confidence=threshold)
        assert verdict == evaluate(RED_DOG, keep_objects(raw, "colors", limits), limits)
