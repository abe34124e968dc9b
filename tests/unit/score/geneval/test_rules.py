"""GenEval's rules on small cases whose answer can be seen; the pitfalls have one test each."""

from __future__ import annotations

import doctest

import pytest

from selfe_eval.records import Prompt, Requirement, ScoredObject
from selfe_eval.score.geneval import float32, relation, rules
from selfe_eval.score.geneval.float32 import to_float32
from selfe_eval.score.geneval.rules import (
    Limits,
    Verdict,
    details,
    evaluate,
    keep_objects,
    objects_needing_color,
)


def seen(
    score: float, color: str | None = None, box: tuple[float, float, float, float] = (0, 0, 9, 9)
) -> ScoredObject:
    return ScoredObject(box=box, score=to_float32(score), color=color)


def prompt(
    *include: Requirement, exclude: tuple[Requirement, ...] = (), task: str = "single_object"
) -> Prompt:
    return Prompt(prompt_id=0, task=task, text="", include=include, exclude=exclude)


def dog(count: int = 1, color: str | None = None, position: tuple[str, int] | None = None) -> Requirement:
    return Requirement(class_name="dog", count=count, color=color, position=position)


CAT = Requirement(class_name="cat", count=1)


@pytest.mark.parametrize(
    ("task", "threshold"), [("single_object", 0.3), ("position", 0.3), ("counting", 0.9)]
)
def test_a_score_equal_to_the_threshold_in_float32_is_dropped(task: str, threshold: float) -> None:
    """float32(0.3) exceeds 0.3 as a double, yet not float32(0.3): it is dropped; the next float is kept."""
    just_above = float32.to_float32(threshold) * (1 + 2**-23)

    assert keep_objects({"dog": [seen(threshold)]}, task) == {}
    assert keep_objects({"dog": [seen(just_above)]}, task) == {"dog": [seen(just_above)]}


def test_counting_is_strict_about_every_class() -> None:
    """In counting, 0.9 holds also for classes that are not counted."""
    raw = {"dog": [seen(0.5)], "cat": [seen(0.95)]}

    assert keep_objects(raw, "counting") == {"cat": [seen(0.95)]}


def test_at_most_sixteen_objects_of_a_class_are_kept() -> None:
    """The best sixteen remain, best first."""
    raw = {"dog": [seen(0.5 + i / 100) for i in range(20)]}

    kept = keep_objects(raw, "single_object")["dog"]

    assert kept == [seen(0.5 + i / 100) for i in reversed(range(4, 20))]


def test_of_equal_scores_the_later_detection_comes_first() -> None:
    """The order of ties is fixed, so that the same detections always give the same verdict."""
    raw = {"dog": [seen(0.5, "red"), seen(0.5, "blue")]}

    assert [kept.color for kept in keep_objects(raw, "colors")["dog"]] == ["blue", "red"]


def test_overlapping_objects_are_dropped_only_where_asked() -> None:
    """Twins stay by default; at 0.5 a box that covers half of a better one goes (+1 pixel sides)."""
    raw = {"dog": [seen(0.8, box=(0, 0, 9, 4)), seen(0.9, box=(0, 0, 9, 9)), seen(0.7, box=(0, 0, 9, 3))]}

    assert len(keep_objects(raw, "single_object")["dog"]) == 3
    assert keep_objects(raw, "single_object", Limits(max_overlap=0.5)) == {
        "dog": [seen(0.9, box=(0, 0, 9, 9)), seen(0.7, box=(0, 0, 9, 3))]
    }


def test_an_inverted_box_overlaps_nothing() -> None:
    """Boxes without area have an empty union, and that counts as no overlap."""
    assert rules.overlap((5, 5, 0, 0), (5, 5, 0, 0)) == 0


def test_kept_classes_stand_in_the_order_of_the_vocabulary() -> None:
    """Classes come in COCO order, whatever the order of the input, and unknown ones last."""
    raw = {"unicorn": [seen(0.9)], "dog": [seen(0.9)], "person": [seen(0.9)]}

    assert list(keep_objects(raw, "single_object")) == ["person", "dog", "unicorn"]


def test_too_few_objects_fail_and_are_counted() -> None:
    """The reason names what was asked and what was found."""
    verdict = evaluate(prompt(dog(3)), {"dog": [seen(0.9)]})

    assert verdict == Verdict(correct=False, reason="expected dog>=3, found 1")


def test_more_objects_than_asked_are_fine_unless_excluded() -> None:
    """Two dogs satisfy "a dog", but not "exactly one dog"."""
    kept = {"dog": [seen(0.9), seen(0.8)]}

    assert evaluate(prompt(dog()), kept) == Verdict(correct=True, reason="")
    assert evaluate(prompt(dog(), exclude=(dog(2),)), kept) == Verdict(
        correct=False, reason="expected dog<2, found 2"
    )


def test_only_the_best_object_is_asked_for_its_color() -> None:
    """If the best dog is brown, a red one behind it does not help."""
    kept = {"dog": [seen(0.9, "brown"), seen(0.8, "red")]}

    assert evaluate(prompt(dog(color="red")), kept) == Verdict(
        correct=False, reason="expected red dog>=1, found 0 red; and 1 brown"
    )


def test_colors_in_a_reason_stand_in_geneval_s_order() -> None:
    """The found colours are listed red first, black and white last, each with its number."""
    kept = {"dog": [seen(0.9, "white"), seen(0.8, "red"), seen(0.7, "white")]}

    assert evaluate(prompt(dog(3, color="red")), kept).reason == (
        "expected red dog>=3, found 1 red; and 1 red, 2 white"
    )


def test_a_color_that_decides_must_be_known() -> None:
    """A missing colour is a mistake of the caller and never counts as another colour."""
    with pytest.raises(ValueError, match="every dog among the first 1 needs a colour"):
        evaluate(prompt(dog(color="red")), {"dog": [seen(0.9)]})


def test_colors_are_needed_only_where_the_verdict_depends_on_them() -> None:
    """The best `count` objects of a class with a colour, each once; none where there are too few."""
    asked = prompt(dog(2, color="red"), dog(1, color="blue"), CAT)
    kept = {"dog": [seen(0.9), seen(0.8), seen(0.7)], "cat": [seen(0.9)]}

    assert objects_needing_color(asked, kept) == [("dog", 0), ("dog", 1)]
    assert objects_needing_color(asked, {"dog": kept["dog"][:1]}) == [("dog", 0)]
    assert objects_needing_color(asked, {}) == []


LEFT = (0.0, 40.0, 10.0, 50.0)
MIDDLE = (45.0, 40.0, 55.0, 50.0)
TOP_LEFT = (0.0, 0.0, 10.0, 10.0)


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        (LEFT, ""),
        (TOP_LEFT, ""),
        ((46.0, 40.0, 56.0, 50.0), "expected dog left of target, found  target"),
        ((90.0, 40.0, 99.0, 50.0), "expected dog left of target, found right of target"),
        ((90.0, 0.0, 99.0, 9.0), "expected dog left of target, found above and right of target"),
    ],
)
def test_the_moved_object_must_lie_where_it_was_asked(
    box: tuple[float, float, float, float], reason: str
) -> None:
    """One of two relations is enough; a wrong place is named, two spaces where there is none."""
    kept = {"cat": [seen(0.9, box=MIDDLE)], "dog": [seen(0.9, box=box)]}

    assert evaluate(prompt(CAT, dog(position=("left of", 0))), kept).reason == reason


def test_every_pair_must_hold_and_the_first_failing_one_is_named() -> None:
    """With two moved objects both must be left of the target; the reason tells of the first that is not."""
    kept = {"cat": [seen(0.9, box=MIDDLE)], "dog": [seen(0.9, box=LEFT), seen(0.8, box=MIDDLE)]}

    assert evaluate(prompt(CAT, dog(2, position=("left of", 0))), kept).reason == (
        "expected dog left of target, found  target"
    )


def test_a_missing_target_is_its_own_reason() -> None:
    """Without a target the moved object cannot be right, and both failures are told."""
    kept = {"dog": [seen(0.9, box=LEFT)]}

    assert evaluate(prompt(CAT, dog(position=("left of", 0))), kept).reason == (
        "expected cat>=1, found 0\nno target for dog to be left of"
    )


def test_a_wrong_color_is_told_before_any_position() -> None:
    """A requirement fails for one reason only, and then is no target for others."""
    asked = prompt(dog(color="red"), Requirement(class_name="cat", count=1, position=("above", 0)))
    kept = {"dog": [seen(0.9, "blue", MIDDLE)], "cat": [seen(0.9, box=LEFT)]}

    assert evaluate(asked, kept).reason == (
        "expected red dog>=1, found 0 red; and 1 blue\nno target for cat to be above"
    )


def test_the_slack_is_an_option() -> None:
    """With no slack a small shift counts as a relation that the default tolerates."""
    kept = {"cat": [seen(0.9, box=MIDDLE)], "dog": [seen(0.9, box=(44.0, 40.0, 54.0, 50.0))]}
    asked = prompt(CAT, dog(position=("left of", 0)))

    assert not evaluate(asked, kept).correct
    assert evaluate(asked, kept, Limits(position_slack=0.0)).correct


def test_details_are_rows_of_five_floats() -> None:
    """Each kept object is [x0, y0, x1, y1, score], whole numbers as floats too."""
    assert repr(details({"dog": [seen(0.5, "red", (1, 2, 3, 4))]})) == "{'dog': [[1.0, 2.0, 3.0, 4.0, 0.5]]}"


@pytest.mark.parametrize("module", [float32, relation, rules])
def test_the_examples_in_the_docstrings_hold(module: object) -> None:
    """Every doctest of the rules gives what it shows."""
    result = doctest.testmod(module)  # type: ignore[arg-type]

    assert result.attempted > 0
    assert result.failed == 0
