"""A judge on images with known content, on the same images twice, and on an image alone.

Anything with a ``score`` method can be tested. The bundled detector finds the same objects when R and B are
exchanged, so the channel order is tested where it decides: in the verdicts that ask for colours, and on the colour
model alone (``coloring.py``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from selfe_eval.doctor.findings import Finding
from selfe_eval.doctor.known_images import KnownImages
from selfe_eval.pipeline.score import Judgement, Scorer
from selfe_eval.score.detectors.protocol import RgbImages

ROUNDING = 1e-3
"""Scores, in [0, 1], may differ by so much between batches: sums of float32 or TF32 in another order."""

_BITS = "Verdicts hold; bits do not repeat. For bit-equal scores use --device cpu, or torch's deterministic algorithms."
_CHANCE = (
    "The judge does not repeat itself, so its numbers are partly chance. Try --device cpu; if that is steady, the GPU, "
    "its driver or its build of torch is at fault."
)
_MIXED = (
    "A verdict depends on the images beside it. The detector mixes its batch (batch norm in training mode, or images "
    "of different padding): load it in evaluation mode, or score with batches of one."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How often a judge must be right, and what to do where it is not."""

    least: float
    """Smallest share of right answers that passes, in (0, 1]."""
    origin: str
    """Where the bound comes from."""
    advice: str
    """What to do where it is missed."""

    def finding(self, area: str, name: str, num_right: int, total: int) -> Finding:
        """Whether so many right answers of so many are enough."""
        is_met = num_right / total >= self.least
        return Finding(
            area=area,
            name=name,
            status="ok" if is_met else "fail",
            found=f"{num_right} of {total} judged right; at least {self.least:.0%} must be ({self.origin})",
            advice="" if is_met else self.advice,
        )


def content_finding(area: str, name: str, scorer: Scorer, known: KnownImages, bound: Bound) -> Finding:
    """Is the judge right on images that show what their prompts ask?"""
    verdicts = [judgement.correct is True for judgement in scorer.score(known.images, known.prompts)]
    return bound.finding(area, name, sum(verdicts), len(verdicts))


def repeat_findings(area: str, scorer: Scorer, known: KnownImages, num_alone: int) -> list[Finding]:
    """Score the same images twice, then the first few of them one by one.

    Args:
        area: Where the findings stand.
        scorer: The judge.
        known: The images and their prompts.
        num_alone: So many of them are scored alone.

    Returns:
        Findings on repetition, on the independence of neighbours, and on the time an image takes.
    """
    first = scorer.score(known.images, known.prompts)
    started = time.perf_counter()
    again = scorer.score(known.images, known.prompts)
    seconds = (time.perf_counter() - started) / len(known.prompts)
    alone = [
        scorer.score(RgbImages(pixels=known.images.pixels[row : row + 1]), known.prompts[row : row + 1])[0]
        for row in range(num_alone)
    ]
    return [
        _same_twice(area, first, again),
        _same_alone(area, first[:num_alone], alone),
        Finding(area=area, name="speed", status="ok", found=f"{seconds:.2g} s an image"),
    ]


def _same_twice(area: str, first: Sequence[Judgement], again: Sequence[Judgement]) -> Finding:
    name = "same images twice"
    if list(first) == list(again):
        found = f"same verdicts and same bits on {len(first)} images"
        return Finding(area=area, name=name, status="ok", found=found)
    found, agree = _compared(first, again)
    if agree:
        return Finding(area=area, name=name, status="warn", found=found, advice=_BITS)
    return Finding(area=area, name=name, status="fail", found=found, advice=_CHANCE)


def _same_alone(area: str, together: Sequence[Judgement], alone: Sequence[Judgement]) -> Finding:
    name = "alone and in a batch"
    found, agree = _compared(together, alone)
    if agree:
        return Finding(area=area, name=name, status="ok", found=found)
    return Finding(area=area, name=name, status="fail", found=found, advice=_MIXED)


def _compared(first: Sequence[Judgement], second: Sequence[Judgement]) -> tuple[str, bool]:
    """In words, how two judgements of the same images differ; and whether they agree but for rounding."""
    otherwise, largest = 0, 0.0
    for one, other in zip(first, second, strict=True):
        if _answer(one) != _answer(other):
            otherwise += 1
            continue
        for name, found in one.objects.items():
            changes = (abs(a.score - b.score) for a, b in zip(found, other.objects[name], strict=True))
            largest = max([largest, *changes])
    said = f"{otherwise} of {len(first)} images judged otherwise; scores differ by up to {largest:.1g}"
    return said, not otherwise and largest <= ROUNDING


def _answer(judgement: Judgement) -> tuple[Any, ...]:
    """Verdict, reason, objects and their colours."""
    colors = {name: [thing.color for thing in found] for name, found in judgement.objects.items()}
    return judgement.correct, judgement.reason, colors
