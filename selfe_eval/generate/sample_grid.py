"""A picture of samples: a row for each prompt, a column for each step count, the same noise along a row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from selfe.pipeline import AnyStepPipeline
from selfe_eval.errors import UsageError
from selfe_eval.generate.checkpoints import CheckpointFolder
from selfe_eval.generate.selfe_checkpoint import load_pipeline

PROMPTS = (
    "a photo of a car",
    "a photo of a banana",
    "a photo of a dog",
    "a photo of a clock",
    "a photo of a blue umbrella",
    "a photo of a red cup",
    "a photo of two apples",
    "a photo of three birds",
    "a photo of a cat and a book",
    "a photo of a dog right of a bench",
    "a photo of a green bus and a purple chair",
    "a photo of four pizzas",
)
STEP_COUNTS = (1, 2, 4, 8, 50)


def draw_samples(
    checkpoint: CheckpointFolder,
    prompts: Sequence[str],
    *,
    step_counts: Sequence[int],
    first_seed: int,
    scale: int,
    path: Path,
    device: str,
) -> dict[str, list[str]]:
    """Write the grid of a checkpoint; seeds count up from ``first_seed`` with the prompts.

    Returns:
        For each prompt with words the model has never seen, those words.

    Raises:
        UsageError: the checkpoint's files do not fit together, or a prompt is too long for the model.
    """
    pipeline = load_pipeline(checkpoint, device)
    try:
        save_sample_grid(
            pipeline, path, prompts=prompts, step_counts=step_counts, first_seed=first_seed, scale=scale
        )
    except ValueError as error:
        raise UsageError(f"{error} Say it in fewer words.") from error
    words = {prompt: pipeline.unknown_words(prompt) for prompt in prompts}
    return {prompt: unknown for prompt, unknown in words.items() if unknown}


def save_sample_grid(
    pipeline: AnyStepPipeline,
    path: Path,
    *,
    prompts: Sequence[str] = PROMPTS,
    step_counts: Sequence[int] = STEP_COUNTS,
    first_seed: int = 0,
    scale: int = 2,
) -> None:
    """Write the grid as PNG, each picture enlarged ``scale`` times with hard pixels."""
    seeds = [first_seed + number for number in range(len(prompts))]
    columns = [pipeline(prompts, seeds, steps) for steps in step_counts]
    grid = np.stack([column.permute(0, 2, 3, 1).cpu().numpy() for column in columns], axis=1)
    rows, cols, height, width, _ = grid.shape
    sheet = grid.transpose(0, 2, 1, 3, 4).reshape(rows * height, cols * width, 3)
    image = Image.fromarray(sheet)
    image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST).save(path)
