"""The images that flipped between two runs, with both pictures: where a difference comes from is seen by looking.

Reads the run folders and the images alone; an image whose bytes have changed since it was judged is refused.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from selfe_eval.errors import UntrustworthyError
from selfe_eval.pipeline.failures import judged_picture, spread_over_tasks
from selfe_eval.pipeline.own_prompts import read_prompts
from selfe_eval.pipeline.scored_images import ScoredImage, scored_images
from selfe_eval.records import ImageKey
from selfe_eval.report.contact_sheet import JudgedPicture, contact_sheet
from selfe_eval.report.flips import Flip
from selfe_eval.runs.atomic import atomic_write
from selfe_eval.runs.run import Run, open_run

_HEADING_COLUMNS = 42
"""Characters that fit a picture's place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlippedImage:
    """One image of each run, of which one is right."""

    flip: Flip
    """Which image, and which way it went."""
    sides: tuple[ScoredImage, ScoredImage]
    """A's and B's."""
    runs: tuple[Run, Run]
    """Where they lie."""

    def heading(self, side: int) -> str:
        """Which run a picture is of, 0 for A's and 1 for B's, and whether it is right."""
        word = "right" if self.sides[side].score.correct else "WRONG"
        return f"{'AB'[side]}, {word}: {self.runs[side].spec.model}"[:_HEADING_COLUMNS]

    def as_json(self) -> dict[str, Any]:
        """Its part of the document of ``compare --json``; paths may be opened from the working directory."""
        (one, two), (first, second) = self.sides, self.runs
        return {
            "prompt_id": self.flip.key.prompt_id,
            "image_index": self.flip.key.image_index,
            "task": self.flip.task,
            "prompt": two.prompt.text,
            "direction": "to_right" if self.flip.is_right_now else "to_wrong",
            "reason": (one if self.flip.is_right_now else two).score.reason,
            "path_a": str(first.folder / one.image.path),
            "path_b": str(second.folder / two.image.path),
        }


def flipped_images(folders: tuple[Path, Path], flips: Sequence[Flip]) -> list[FlippedImage]:
    """What the run folders say about these images, in the same order.

    Args:
        folders: Of A and B.
        flips: As `flips_of` found them.

    Raises:
        UntrustworthyError: a journal cannot be believed, or has no image of a score.
    """
    if not flips:
        return []
    runs = (open_run(folders[0]), open_run(folders[1]))
    first, second = (_by_key(run) for run in runs)
    return [
        FlippedImage(
            flip=flip,
            sides=(_image(runs[0], first, flip.key), _image(runs[1], second, flip.key)),
            runs=runs,
        )
        for flip in flips
    ]


def draw_flips(images: Sequence[FlippedImage], path: Path, *, num: int) -> int:
    """Write a sheet with A's picture left of B's, two such pairs a row.

    Args:
        images: At least one.
        path: The PNG to write.
        num: At most so many pairs, spread evenly over the tasks.

    Returns:
        How many pairs are on it.

    Raises:
        UntrustworthyError: a picture is missing or damaged, or its bytes have changed since it was judged.
    """
    wanted = {one.image.key for one in spread_over_tasks([image.sides[1] for image in images], num)}
    drawn = [image for image in images if image.flip.key in wanted]
    atomic_write(path, contact_sheet(_picture(image, side) for image in drawn for side in (0, 1)))
    return len(drawn)


def _by_key(run: Run) -> dict[ImageKey, ScoredImage]:
    return {one.image.key: one for one in scored_images(run, read_prompts(run))}


def _image(run: Run, found: dict[ImageKey, ScoredImage], key: ImageKey) -> ScoredImage:
    if key not in found:
        raise UntrustworthyError(
            f"{run.folder} has a score and no image of prompt {key.prompt_id}, image {key.image_index} at {key.steps} steps, "
            f"or the image has changed since. `selfe-eval validate {shlex.quote(str(run.folder))}` lists what is wrong; make "
            f"it whole with: {run.resume_command}"
        )
    return found[key]


def _picture(image: FlippedImage, side: int) -> JudgedPicture:
    run, one = image.runs[side], image.sides[side]
    key = image.flip.key
    return replace(
        judged_picture(run, one),
        heading=image.heading(side),
        prompt=f"{image.flip.task}, prompt {key.prompt_id}, image {key.image_index}: {one.prompt.text}",
    )
