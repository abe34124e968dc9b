from __future__ import annotations

import json
from dataclasses import replace

import pytest

from selfe_eval.records import ImageKey
from selfe_eval.report.comparison import compare
from selfe_eval.report.evidence import ImageEvidence, MetricEvidence, RunEvidence
from selfe_eval.report.flips import FlipCounts, flips_document, flips_of

TASKS = {0: "single_object", 1: "single_object", 5: "colors", 6: "colors"}


def evidence(*steps: dict[tuple[int, int], float], metric: str = "geneval") -> RunEvidence:
    """A run with these verdicts at 1, 2, ... steps, two images a prompt."""
    return RunEvidence(
        model="hand",
        suite="openmoji",
        suite_sha256="5" * 64,
        tasks=TASKS,
        images_per_prompt=2,
        seed=0,
        partial=False,
        spec_sha256="9" * 64,
        metrics={
            metric: MetricEvidence(
                metric=metric,
                protocol_sha256="a" * 64,
                unit="share",
                higher_is_better=True,
                is_macro=True,
                steps={count: ImageEvidence(values=values) for count, values in enumerate(steps, start=1)},
            )
        },
    )


RIGHT = {(prompt, index): 1.0 for prompt in TASKS for index in range(2)}


def test_flips_are_counted_and_listed_by_task() -> None:
    """Two images went to wrong and one to right: each is named with its task and the way it went."""
    a = evidence({**RIGHT, (6, 1): 0.0})
    b = evidence({**RIGHT, (0, 1): 0.0, (5, 0): 0.0})
    (found,) = flips_of(a, b, compare(a, b))

    assert (found.metric, found.steps, found.num_pairs) == ("geneval", 1, 8)
    assert found.overall == FlipCounts(to_wrong=2, to_right=1)
    assert found.tasks == {
        "single_object": FlipCounts(to_wrong=1, to_right=0),
        "colors": FlipCounts(to_wrong=1, to_right=1),
    }
    assert [(flip.key, flip.task, flip.is_right_now) for flip in found.flips] == [
        (ImageKey(steps=1, prompt_id=0, image_index=1), "single_object", False),
        (ImageKey(steps=1, prompt_id=5, image_index=0), "colors", False),
        (ImageKey(steps=1, prompt_id=6, image_index=1), "colors", True),
    ]
    assert found.p_sign == 1.0


def test_a_run_does_not_flip_against_itself() -> None:
    """A/A: no flip at any step count."""
    run = evidence(RIGHT, dict.fromkeys(RIGHT, 0.0))

    assert [(found.steps, found.flips, found.p_sign) for found in flips_of(run, run, compare(run, run))] == [
        (1, (), 1.0),
        (2, (), 1.0),
    ]


def test_the_sign_test_by_hand() -> None:
    """Six images went to right and none to wrong: 2 / 2^6."""
    a = evidence({key: float(place >= 6) for place, key in enumerate(RIGHT)})
    (found,) = flips_of(a, evidence(RIGHT), compare(a, evidence(RIGHT)))

    assert found.overall == FlipCounts(to_wrong=0, to_right=6)
    assert found.p_sign == pytest.approx(2 / 64)


def test_only_what_both_have_can_flip() -> None:
    """Images without a verdict, other prompts and other step counts are no flips."""
    a = evidence({key: value for key, value in RIGHT.items() if key != (0, 0)}, RIGHT)
    b = evidence(dict.fromkeys(RIGHT, 0.0))
    fewer = replace(b, tasks={0: "single_object", 1: "single_object"})
    single = replace(b, images_per_prompt=1)
    (found,) = flips_of(a, b, compare(a, b))
    (part,) = flips_of(a, fewer, compare(a, fewer))

    assert (found.num_pairs, found.overall.to_wrong) == (7, 7)
    assert [one.num_pairs for one in flips_of(a, single, compare(a, single))] == [3]
    assert (part.num_pairs, list(part.tasks)) == (3, ["single_object"])


def test_other_metrics_do_not_flip() -> None:
    """Where GenEval is not compared there are no flips; under another judge's name there are."""
    clip, judged = evidence(RIGHT, metric="clip-score"), evidence(RIGHT, metric="geneval[hf-weights]")

    assert flips_of(clip, clip, compare(clip, clip)) == ()
    assert [found.metric for found in flips_of(judged, judged, compare(judged, judged))] == [
        "geneval[hf-weights]"
    ]


def test_the_document_is_plain_json() -> None:
    """Counts of all and of each task beside the images."""
    a, b = evidence(RIGHT), evidence({**RIGHT, (5, 0): 0.0})
    (found,) = flips_of(a, b, compare(a, b))
    document = json.loads(json.dumps(flips_document(found, [{"prompt_id": 5}]), allow_nan=False))

    assert document == {
        "metric": "geneval",
        "steps": 1,
        "n": 8,
        "to_wrong": 1,
        "to_right": 0,
        "p_sign": 1.0,
        "tasks": {"single_object": {"to_wrong": 0, "to_right": 0}, "colors": {"to_wrong": 1, "to_right": 0}},
        "images": [{"prompt_id": 5}],
    }
