"""A picture of samples: a row for each prompt, a column for each step count, the same noise along a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from selfe.buckets import TOKEN_PX
from selfe.pipeline import AnyStepPipeline
from selfe.sampler import SamplerError, SamplerOptions
from selfe_eval.errors import UsageError
from selfe_eval.generate.checkpoints import CheckpointFolder
from selfe_eval.generate.overrides import SamplerOverrides
from selfe_eval.generate.selfe_checkpoint import changed_sampler, load_pipeline

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


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSheet:
    """What the picture shows."""

    prompts: Sequence[str] = PROMPTS
    """A row each."""
    step_counts: Sequence[int] = STEP_COUNTS
    """A column each."""
    first_seed: int = 0
    """Of the first prompt; the next ones count up."""
    scale: int = 2
    """Each picture is enlarged so many times, with hard pixels."""
    size: tuple[int, int] | None = None
    """Height and width of a picture before that, in pixels, multiples of 16; None: the checkpoint's own."""


def draw_samples(
    checkpoint: CheckpointFolder, sheet: SampleSheet, overrides: SamplerOverrides, *, path: Path, device: str
) -> list[str]:
    """Write the sheet of a checkpoint.

    Returns:
        What the reader of the picture should know: words the model has never seen, a size that is not its own.

    Raises:
        UsageError: the checkpoint's files do not fit together, a prompt is too long for the model, or these options do
            not go together.
    """
    pipeline = load_pipeline(checkpoint, device)
    options = changed_sampler(pipeline, overrides)
    try:
        save_sample_grid(pipeline, path, sheet, options)
    except SamplerError as error:
        raise UsageError(f"{checkpoint.name} cannot draw so: {error}") from error
    except ValueError as error:
        raise UsageError(f"{error} Say it in fewer words.") from error
    words = {prompt: pipeline.unknown_words(prompt) for prompt in [*sheet.prompts, options.negative_prompt]}
    notes = [
        f"the model has never seen {', '.join(unknown)!r} of {prompt!r}."
        for prompt, unknown in words.items()
        if unknown
    ]
    height, width = (TOKEN_PX * tokens for tokens in pipeline.grid)
    if sheet.size not in {None, (height, width)}:
        notes.append(f"the own size of {checkpoint.name} is {height}x{width} px; it may be bad at others.")
    return notes


def save_sample_grid(
    pipeline: AnyStepPipeline,
    path: Path,
    sheet: SampleSheet | None = None,
    options: SamplerOptions | None = None,
) -> None:
    """Write a sheet as PNG, drawn with these sampler options or the checkpoint's own."""
    sheet = sheet or SampleSheet()
    seeds = [sheet.first_seed + number for number in range(len(sheet.prompts))]
    grid = pipeline.grid if sheet.size is None else _token_grid(sheet.size)
    columns = [
        pipeline(sheet.prompts, seeds, steps, options, grid=grid).permute(0, 2, 3, 1).cpu().numpy()
        for steps in sheet.step_counts
    ]
    pixels = np.stack(columns, axis=1)
    rows, cols, height, width, _ = pixels.shape
    image = Image.fromarray(pixels.transpose(0, 2, 1, 3, 4).reshape(rows * height, cols * width, 3))
    size = (image.width * sheet.scale, image.height * sheet.scale)
    image.resize(size, Image.Resampling.NEAREST).save(path)


def _token_grid(size: tuple[int, int]) -> tuple[int, int]:
    height, width = size
    return height // TOKEN_PX, width // TOKEN_PX
