from __future__ import annotations

import pytest

from selfe_eval.records import ImageKey
from selfe_eval.report.outcomes import ImageOutcome
from selfe_eval.report.reasons import reason_histogram, reason_kind


@pytest.mark.parametrize(
    ("sentence", "kind"),
    [
        ("expected parking meter>=1, found 0", "too_few"),
        ("expected dog<3, found 4", "too_many"),
        ("expected orange orange>=1, found 0 orange; and 1 red", "wrong_color"),
        ("expected orange>=1, found 0", "too_few"),
        ("expected dog left of target, found above and right of target", "wrong_position"),
        ("expected dog left of target, found  target", "wrong_position"),
        ("no target for dog to be left of", "no_target"),
        ("the file is not an image", "other"),
    ],
)
def test_each_sentence_of_the_reference_has_a_kind(sentence: str, kind: str) -> None:
    """The sentences of djghosh13/geneval at af4902f fall into their kinds."""
    assert reason_kind(sentence) == kind


def test_an_image_counts_once_for_each_kind() -> None:
    """Two sentences of one kind are one failed image; unscored images are counted apart."""
    reasons: list[tuple[bool | None, str]] = [
        (False, "expected dog>=1, found 0\nexpected cat>=1, found 0"),
        (False, "expected dog>=1, found 0\nno target for cat to be above"),
        (True, ""),
        (None, "expected dog>=1, found 0"),
    ]
    outcomes = [
        ImageOutcome(key=ImageKey(steps=1, prompt_id=i, image_index=0), correct=correct, reason=reason)
        for i, (correct, reason) in enumerate(reasons)
    ]

    assert reason_histogram(outcomes) == {"too_few": 2, "no_target": 1, "unscored": 1}
