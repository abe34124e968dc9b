"""Which images went from right to wrong, and which back: what a difference of GenEval scores is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfe_eval.records import ImageKey
from selfe_eval.report.comparison import Comparison, kind_of
from selfe_eval.report.evidence import ImageEvidence, RunEvidence
from selfe_eval.report.summary import METRIC
from selfe_eval.stats.paired import sign_test


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """An image that one of the two runs has right."""

    key: ImageKey
    """Step count, prompt and index, of both."""
    task: str
    """Of its prompt."""
    is_right_now: bool
    """Whether it is B's that is right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipCounts:
    """How many there are."""

    to_wrong: int
    """Right in A, wrong in B."""
    to_right: int
    """Wrong in A, right in B."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFlips:
    """The flips at one step count."""

    metric: str
    """GenEval, with what is in brackets."""
    steps: int
    """Number of sampling steps, of both runs."""
    num_pairs: int
    """Images that both runs have a verdict on."""
    overall: FlipCounts
    """Of all tasks."""
    tasks: Mapping[str, FlipCounts]
    """Of each task, in the order of the suite."""
    flips: tuple[Flip, ...]
    """By prompt and index."""

    @property
    def p_sign(self) -> float:
        """Of the exact sign test, which takes images of a prompt for independent: a description, no verdict."""
        return sign_test(self.overall.to_right, self.overall.to_wrong)


def flips_of(a: RunEvidence, b: RunEvidence, comparison: Comparison) -> tuple[StepFlips, ...]:
    """The flips at every step count at which GenEval is compared; none where it is not.

    Args:
        a: The run to compare with.
        b: The run in question.
        comparison: Of these two.
    """
    return tuple(
        _at(a, b, one.metric, row.steps)
        for one in comparison.metrics
        if kind_of(one.metric) == METRIC
        for row in one.rows
    )


def flips_document(found: StepFlips, images: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Its part of the document of ``compare --json``.

    Args:
        found: The flips.
        images: What is known of each of them.
    """
    return {
        "metric": found.metric,
        "steps": found.steps,
        "n": found.num_pairs,
        **_counts(found.overall),
        "p_sign": found.p_sign,
        "tasks": {name: _counts(counts) for name, counts in found.tasks.items()},
        "images": list(images),
    }


def _counts(counts: FlipCounts) -> dict[str, int]:
    return {"to_wrong": counts.to_wrong, "to_right": counts.to_right}


def _at(a: RunEvidence, b: RunEvidence, metric: str, steps: int) -> StepFlips:
    one, two = a.metrics[metric].steps[steps], b.metrics[metric].steps[steps]
    assert isinstance(one, ImageEvidence)
    assert isinstance(two, ImageEvidence)
    images = min(a.images_per_prompt, b.images_per_prompt)
    common = [
        (prompt_id, index)
        for prompt_id, index in sorted(one.values.keys() & two.values.keys())
        if prompt_id in a.tasks and prompt_id in b.tasks and index < images
    ]
    flips = tuple(
        Flip(
            key=ImageKey(steps=steps, prompt_id=prompt_id, image_index=index),
            task=a.tasks[prompt_id],
            is_right_now=two.values[prompt_id, index] > one.values[prompt_id, index],
        )
        for prompt_id, index in common
        if one.values[prompt_id, index] != two.values[prompt_id, index]
    )
    tasks = dict.fromkeys(a.tasks[prompt_id] for prompt_id, _ in common)
    return StepFlips(
        metric=metric,
        steps=steps,
        num_pairs=len(common),
        overall=_count(flips),
        tasks={name: _count([flip for flip in flips if flip.task == name]) for name in tasks},
        flips=flips,
    )


def _count(flips: Sequence[Flip]) -> FlipCounts:
    to_right = sum(flip.is_right_now for flip in flips)
    return FlipCounts(to_wrong=len(flips) - to_right, to_right=to_right)
