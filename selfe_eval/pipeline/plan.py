"""Decide everything before anything is computed: which prompts, which images, in which batches.

Batches are a function of ``run.json`` alone. A resumed run therefore computes the same batches, and since
floating-point sums depend on the batch they are computed in, the same bits.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from selfe_eval.errors import UsageError
from selfe_eval.records import ImageKey, Prompt, Suite
from selfe_eval.runs.run import RunRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Images that are drawn, or judged, together, whether all of them are needed or not."""

    steps: int
    """Number of sampling steps."""
    keys: tuple[ImageKey, ...]
    """Consecutive images of the plan, all of this step count."""


def select_prompts(suite: Suite, limit: int | None) -> tuple[int, ...]:
    """The prompt ids that a run covers, ascending.

    Args:
        suite: The prompts.
        limit: At most so many, the same number from each task as far as it has them, evenly spaced in it.

    Raises:
        UsageError: the limit is below 1.
    """
    if limit is None or limit >= len(suite.prompts):
        return tuple(prompt.prompt_id for prompt in suite.prompts)
    if limit < 1:
        raise UsageError(
            f"--limit {limit}: expected at least 1 prompt; leave it out for all {len(suite.prompts)}."
        )
    by_task: dict[str, list[Prompt]] = defaultdict(list)
    for prompt in suite.prompts:
        by_task[prompt.task].append(prompt)
    shares = _even_shares([len(prompts) for prompts in by_task.values()], limit)
    chosen = [
        prompts[position * len(prompts) // share].prompt_id
        for prompts, share in zip(by_task.values(), shares, strict=True)
        for position in range(share)
    ]
    return tuple(sorted(chosen))


def planned_keys(record: RunRecord) -> list[ImageKey]:
    """Every image of a run, ordered by step count, prompt and index."""
    return [
        ImageKey(steps=steps, prompt_id=prompt_id, image_index=image_index)
        for steps in record.spec.steps
        for prompt_id in record.prompt_ids
        for image_index in range(record.spec.images_per_prompt)
    ]


def batches(record: RunRecord, size: int) -> list[Batch]:
    """Every batch of a run, in the order of the plan.

    Args:
        record: The run.
        size: Images in a batch; the last one of a step count may have fewer.
    """
    keys = planned_keys(record)
    found = []
    for steps in record.spec.steps:
        own = [key for key in keys if key.steps == steps]
        found += [Batch(steps=steps, keys=tuple(own[at : at + size])) for at in range(0, len(own), size)]
    return found


def _even_shares(sizes: list[int], total: int) -> list[int]:
    """Split ``total`` as evenly as the sizes allow; earlier ones get the rest."""
    shares = [0] * len(sizes)
    while total > 0:
        open_places = [place for place, size in enumerate(sizes) if shares[place] < size]
        for place in open_places[:total]:
            shares[place] += 1
        total -= min(total, len(open_places))
    return shares
