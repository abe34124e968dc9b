"""Laws of GenEval's rules."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selfe_eval.records import COLORS, Prompt, Requirement, ScoredObject
from selfe_eval.score.geneval.float32 import to_float32
from selfe_eval.score.geneval.rules import (
    Limits,
    Verdict,
    evaluate,
    keep_objects,
    objects_needing_color,
    overlap,
)
from selfe_eval.suites.registry import load_suite

LAW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
Raw = dict[str, list[ScoredObject]]

ALL_PROMPTS = list(load_suite("geneval").prompts)
prompts = st.sampled_from(ALL_PROMPTS)
counting_prompts = st.sampled_from([prompt for prompt in ALL_PROMPTS if prompt.exclude])
boxes = st.tuples(*[st.integers(0, 64)] * 4).map(
    lambda c: (float(min(c[0], c[1])), float(min(c[2], c[3])), float(max(c[0], c[1])), float(max(c[2], c[3])))
)
scores = st.floats(0, 1, width=32) | st.floats(0.875, 1, width=32)
objects = st.builds(ScoredObject, box=boxes, score=scores, color=st.sampled_from(COLORS))
limits = st.builds(
    Limits,
    confidence=st.floats(0, 1),
    counting=st.floats(0, 1),
    max_objects=st.integers(1, 6),
    max_overlap=st.sampled_from([0.1, 0.5, 0.9, 1.0]),
)


@st.composite
def asked_and_seen(draw: st.DrawFn) -> tuple[Prompt, Raw]:
    """A prompt and detections, mostly of the classes it names, with no score twice in a class."""
    prompt = draw(prompts)
    names = [*(requirement.class_name for requirement in prompt.include), "zebra"]
    several = st.lists(objects, max_size=6, unique_by=lambda seen: seen.score)
    return prompt, {name: draw(several) for name in names}


def verdict_of(prompt: Prompt, raw: Raw) -> Verdict:
    return evaluate(prompt, keep_objects(raw, prompt.task))


@LAW
@given(asked_and_seen(), st.randoms(use_true_random=False))
def test_the_order_of_detections_does_not_matter(case: tuple[Prompt, Raw], random: Random) -> None:
    """With distinct scores, shuffled detections and shuffled classes give the same verdict and reason."""
    prompt, raw = case
    names = random.sample(list(raw), len(raw))
    shuffled = {name: random.sample(raw[name], len(raw[name])) for name in names}

    assert verdict_of(prompt, shuffled) == verdict_of(prompt, raw)


@LAW
@given(asked_and_seen(), st.lists(objects, min_size=4, max_size=4), objects)
def test_a_worse_object_more_changes_nothing_that_is_not_excluded(
    case: tuple[Prompt, Raw], best: list[ScoredObject], worse: ScoredObject
) -> None:
    """Where enough objects are kept, another one that scores lower changes neither verdict nor reason."""
    prompt, raw = case
    prompt = replace(prompt, exclude=())
    needed = prompt.include[0]
    enough = [replace(seen, score=1.0) for seen in best[: needed.count]]
    worse = replace(worse, score=to_float32(0.95))

    assert verdict_of(prompt, {**raw, needed.class_name: [worse, *enough]}) == verdict_of(
        prompt, {**raw, needed.class_name: enough}
    )


@LAW
@given(counting_prompts, objects)
def test_objects_more_than_excluded_fail(prompt: Prompt, extra: ScoredObject) -> None:
    """In counting, one confident object more than asked is wrong, and the reason says so."""
    limit = prompt.exclude[0]
    seen = {limit.class_name: [replace(extra, score=1.0)] * limit.count}

    assert verdict_of(prompt, seen) == Verdict(
        correct=False, reason=f"expected {limit.class_name}<{limit.count}, found {limit.count}"
    )


@LAW
@given(asked_and_seen())
def test_classes_that_nobody_asked_for_do_not_matter(case: tuple[Prompt, Raw]) -> None:
    """Detections of other classes change neither verdict nor reason."""
    prompt, raw = case
    asked = {requirement.class_name for requirement in prompt.include}

    assert verdict_of(prompt, {name: raw[name] for name in asked}) == verdict_of(prompt, raw)


@LAW
@given(asked_and_seen())
def test_a_verdict_is_correct_exactly_when_it_has_no_reason(case: tuple[Prompt, Raw]) -> None:
    """Each unmet requirement gives one line of reason, so there are at most as many as requirements."""
    prompt, raw = case

    verdict = verdict_of(prompt, raw)

    assert verdict.correct == (verdict.reason == "")
    assert len(verdict.reason.splitlines()) <= len(prompt.include) + len(prompt.exclude)


@LAW
@given(asked_and_seen())
def test_only_the_named_objects_need_a_colour(case: tuple[Prompt, Raw]) -> None:
    """Taking the colour from every object that objects_needing_color does not name changes nothing."""
    prompt, raw = case
    kept = keep_objects(raw, prompt.task)
    needed = set(objects_needing_color(prompt, kept))
    bare = {
        name: [seen if (name, i) in needed else replace(seen, color=None) for i, seen in enumerate(found)]
        for name, found in kept.items()
    }

    assert evaluate(prompt, bare) == evaluate(prompt, kept)


@LAW
@given(asked_and_seen(), limits)
def test_kept_objects_are_the_best_above_the_threshold(case: tuple[Prompt, Raw], limits: Limits) -> None:
    """What is kept comes from the input, best first, above the threshold, never too many, never none."""
    prompt, raw = case
    threshold = to_float32(limits.counting if prompt.task == "counting" else limits.confidence)

    kept = keep_objects(raw, prompt.task, limits)

    for name, found in kept.items():
        assert 1 <= len(found) <= limits.max_objects
        assert all(seen in raw[name] and seen.score > threshold for seen in found)
        assert [seen.score for seen in found] == sorted((seen.score for seen in found), reverse=True)
        assert found[0].score == max(seen.score for seen in raw[name])


@LAW
@given(asked_and_seen(), st.sampled_from([0.1, 0.5, 0.9]))
def test_kept_objects_do_not_overlap_more_than_allowed(case: tuple[Prompt, Raw], max_overlap: float) -> None:
    """Below 1.0 the limit holds between any two kept objects, and every dropped one had a better twin."""
    prompt, raw = case
    everything = keep_objects(raw, prompt.task, Limits())
    limit = to_float32(max_overlap)

    kept = keep_objects(raw, prompt.task, Limits(max_overlap=max_overlap))

    assert kept.keys() == everything.keys()
    for name, found in kept.items():
        pairs = [(a, b) for i, a in enumerate(found) for b in found[i + 1 :]]
        assert all(overlap(a.box, b.box) < limit for a, b in pairs)
        for dropped in (seen for seen in everything[name] if seen not in found):
            twins = [better for better in found if overlap(better.box, dropped.box) >= limit]
            assert any(better.score > dropped.score for better in twins)


@LAW
@given(boxes, boxes)
def test_overlap_is_symmetric_and_whole_for_equal_boxes(a: tuple[float, ...], b: tuple[float, ...]) -> None:
    """Overlap lies between 0 and 1, does not depend on the order, and is 1 for a box with itself."""
    first, second = (a[0], a[1], a[2], a[3]), (b[0], b[1], b[2], b[3])

    assert 0 <= overlap(first, second) == overlap(second, first) <= 1
    assert overlap(first, first) == 1


CORNERS = {
    "left of": (0, 45),
    "right of": (90, 45),
    "above": (45, 0),
    "below": (45, 90),
}


def satisfying(prompt: Prompt) -> Raw:
    """Detections that are exactly what a prompt asks for: the target in the middle, the rest around it."""
    raw: Raw = {}
    for requirement in prompt.include:
        x, y = CORNERS[requirement.position[0]] if requirement.position else (45, 45)
        seen = ScoredObject(box=(x, y, x + 10, y + 10), score=to_float32(0.95), color=requirement.color)
        raw[requirement.class_name] = [seen] * requirement.count
    return raw


def test_what_was_asked_is_correct_for_every_prompt() -> None:
    """Detections made from a prompt satisfy it, and leaving out any one class fails it."""
    for prompt in ALL_PROMPTS:
        raw = satisfying(prompt)

        assert verdict_of(prompt, raw) == Verdict(correct=True, reason="")
        for name in raw:
            assert not verdict_of(prompt, {other: raw[other] for other in raw if other != name}).correct


@pytest.mark.parametrize(("group", "relation"), [(0, "right of"), (1, "left of")])
def test_a_position_refers_to_the_requirement_it_names(group: int, relation: str) -> None:
    """With two objects to refer to, the number in the metadata decides which one counts."""
    prompt = Prompt(
        prompt_id=0,
        task="position",
        text="a photo of a dog right of a cat and left of a bench",
        include=(
            Requirement(class_name="cat", count=1),
            Requirement(class_name="bench", count=1),
            Requirement(class_name="dog", count=1, position=(relation, group)),
        ),
    )
    place = {"cat": 0, "dog": 45, "bench": 90}
    raw = {name: [ScoredObject(box=(x, 45, x + 10, 55), score=1.0)] for name, x in place.items()}

    assert verdict_of(prompt, raw) == Verdict(correct=True, reason="")
