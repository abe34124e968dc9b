"""Why images failed: GenEval's reason sentences, counted by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from selfe_eval.records import COLORS
from selfe_eval.report.outcomes import ImageOutcome

REASON_KINDS = ("too_few", "too_many", "wrong_color", "wrong_position", "no_target", "other", "unscored")
"""In the order of the histogram. An image counts once for each kind that occurs in it."""


def reason_kind(sentence: str) -> str:
    """The kind of one sentence of the reference (evaluation/evaluate_images.py at af4902f).

    >>> reason_kind("expected red bench>=1, found 0 red; and 1 blue")
    'wrong_color'
    >>> reason_kind("expected dog left of target, found above target")
    'wrong_position'
    """
    if sentence.startswith("no target for "):
        return "no_target"
    if not sentence.startswith("expected "):
        return "other"
    wanted, _, found = sentence.removeprefix("expected ").partition(", found ")
    if found.endswith(" target"):
        return "wrong_position"
    if wanted.split(" ", 1)[0] in COLORS and "; and" in found:
        return "wrong_color"
    return "too_few" if ">=" in wanted else "too_many"


def reason_histogram(outcomes: Iterable[ImageOutcome]) -> dict[str, int]:
    """Number of images by kind of failure, in the order of REASON_KINDS; absent kinds are left out."""
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        if outcome.correct is None:
            counts["unscored"] += 1
        else:
            counts.update({reason_kind(line) for line in outcome.reason.splitlines()})
    return {kind: counts[kind] for kind in REASON_KINDS if counts[kind]}
