"""What a scorer said about images, and the panel of it that the statistics take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from selfe_eval.records import ImageKey, Prompt
from selfe_eval.stats.panel import Panel


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageOutcome:
    """What a scorer said about one image."""

    key: ImageKey
    """Which image."""
    correct: bool | None
    """The score, or None where the scorer could give none."""
    reason: str
    """Empty if correct; else what was expected and found, one sentence a line."""
    correct_at: Mapping[float, bool] = field(default_factory=dict)
    """Threshold of its task -> what the verdict would be there; empty where that is not known."""
    num_objects: int = 0
    """How many objects the detector was sure of."""
    num_colors: int = 0
    """How many colours decided the verdict."""
    near_ties: int = 0
    """How many of them rounding could have decided otherwise."""


def outcome_panel(
    columns: Sequence[Mapping[tuple[int, int], float]], prompts: Sequence[Prompt], images_per_prompt: int
) -> Panel:
    """The panel of scored images: one column for each mapping (prompt_id, image_index) -> score.

    Args:
        columns: K mappings that hold the scored images only; images beyond the plan are not looked at.
        prompts: The P planned prompts.
        images_per_prompt: Planned images of each prompt, with indices from 0.
    """
    return task_panel(columns, {prompt.prompt_id: prompt.task for prompt in prompts}, images_per_prompt)


def task_panel(
    columns: Sequence[Mapping[tuple[int, int], float]], tasks: Mapping[int, str], images_per_prompt: int
) -> Panel:
    """The same panel where of the prompts only their tasks are known.

    Args:
        columns: As above.
        tasks: Id of each of the P planned prompts -> its stratum, in the order of the rows.
        images_per_prompt: Planned images of each prompt, with indices from 0.
    """
    shape = (len(tasks), len(columns))
    sums, counts = np.zeros(shape), np.zeros(shape, dtype=np.int64)
    for column, scored in enumerate(columns):
        for row, prompt_id in enumerate(tasks):
            marks = [scored[key] for i in range(images_per_prompt) if (key := (prompt_id, i)) in scored]
            sums[row, column], counts[row, column] = sum(marks), len(marks)
    planned = np.full(shape, images_per_prompt, dtype=np.int64)
    return Panel(tasks=tuple(tasks.values()), sums=sums, counts=counts, planned=planned)


def scored_at(outcomes: Mapping[ImageKey, ImageOutcome], steps: int) -> dict[tuple[int, int], bool]:
    """The scored images of one step count: (prompt_id, image_index) -> correct."""
    return {
        (key.prompt_id, key.image_index): outcome.correct
        for key, outcome in outcomes.items()
        if key.steps == steps and outcome.correct is not None
    }
