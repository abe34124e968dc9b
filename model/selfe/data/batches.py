"""Batches of pictures of one size, by step and part: a pure function, so resuming and sharing out need no state.

The parts of one optimiser step may differ in their bucket, never in their turn (see ``Turn``). Process r of R computes the
parts r, r + R, r + 2R, ... (``selfe.training.parallel.own_parts``): together they read what one process would.

A picture that turns out to be broken is named in ``skipped``, and its place is taken by the next good one of its bucket, in
the order of the plan and from the last round to the first: the same one whoever asks, and however often.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from selfe.buckets import Bucket, nearest
from selfe.data.fit import fit
from selfe.data.pictures import BrokenPictureError, NoPicturesError, PictureSet
from selfe.data.plan import BucketPlan

Given = TypeVar("Given")
Made = TypeVar("Made")


class Mapper(Protocol):
    """``map``, or that of a pool of threads."""

    def __call__(self, function: Callable[[Given], Made], things: Iterable[Given], /) -> Iterable[Made]:
        """The function of each thing, in order."""
        ...


class PictureBatch(NamedTuple):
    """B pictures of one size with their captions."""

    images: Tensor
    """uint8 (B, 3, H, W), RGB."""
    captions: list[str]
    """B prompts."""
    grid: tuple[int, int]
    """Their latents' tokens as (rows, columns)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Sizes of about one area, and how many steps in a row they are trained before the next turn.

    The paper's 256^2 and 512^2 at 1:1 are two turns of one step: all parts of a step cost the same on every process.
    """

    buckets: tuple[Bucket, ...]
    """A picture goes to that of the nearest aspect ratio (``selfe.buckets.aspect_buckets``)."""
    num_steps: int = 1
    """Steps in a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """How pictures become batches."""

    num_rows: int
    """Of a part of a batch."""
    num_parts: int
    """Parts of a batch, over all processes."""
    seed: int
    """Of the order of pictures and buckets."""
    rows_per_caption: int = 1
    """Neighbouring rows that share their caption, for objectives that compare such rows (IMM): they show the same picture,
    since captions are taken to be unique. Divides ``num_rows``."""

    def __post_init__(self) -> None:
        """Refuse a part that cannot hold whole groups."""
        if self.num_rows % self.rows_per_caption:
            raise ValueError(
                f"A part of {self.num_rows} rows cannot hold whole groups of {self.rows_per_caption} rows that share a "
                "caption. Choose a number of rows that it divides."
            )

    @property
    def num_pictures(self) -> int:
        """Different pictures in a part."""
        return self.num_rows // self.rows_per_caption


class PictureBatches:
    """Batches of a picture set."""

    def __init__(self, pictures: PictureSet, turns: Sequence[Turn], options: BatchOptions) -> None:
        """Sort the pictures into buckets, once for each turn.

        Raises:
            ValueError: there is no turn, bucket or picture.
        """
        if not turns:
            raise ValueError("Batches need sizes: expected one turn or more, found none.")
        self._pictures = pictures
        self._options = options
        self._turns = [_PlannedTurn(pictures, turn, options) for turn in turns]
        self._broken: dict[str, str] = {}

    @property
    def skipped(self) -> dict[str, str]:
        """Pictures left out so far by this process, by name, with a sentence that says why."""
        return {**self._pictures.skipped, **self._broken}

    def at(self, step: int, part: int, *, mapper: Mapper = map) -> PictureBatch:
        """One part of the batch of a step.

        Args:
            step: Optimiser step, from 0.
            part: From 0 to num_parts - 1.
            mapper: Reads the pictures; that of a thread pool reads several at once, with the same result.

        Raises:
            NoPicturesError: every picture of the bucket is broken.
            ValueError: there is no such part.
        """
        if not 0 <= part < self._options.num_parts:
            raise ValueError(f"A batch has the parts 0 to {self._options.num_parts - 1}; got part {part}.")
        turn, turn_step = self._turn(step)
        which, places = turn.plan.part(turn_step * self._options.num_parts + part)
        rows = list(mapper(partial(self._row, turn, which), places))
        repeats = self._options.rows_per_caption
        images = torch.from_numpy(np.stack([pixels for pixels, _ in rows]))
        captions = [caption for _, caption in rows for _ in range(repeats)]
        return PictureBatch(images.repeat_interleave(repeats, dim=0), captions, turn.buckets[which].grid)

    def _turn(self, step: int) -> tuple[_PlannedTurn, int]:
        """Whose turn a step is, and how many steps that turn had before."""
        rounds, step_of_round = divmod(step, sum(turn.num_steps for turn in self._turns))
        for turn in self._turns:
            if step_of_round < turn.num_steps:
                return turn, rounds * turn.num_steps + step_of_round
            step_of_round -= turn.num_steps
        raise AssertionError(step)

    def _row(self, turn: _PlannedTurn, which: int, place: int) -> tuple[NDArray[np.uint8], str]:
        """The pixels (3, H, W) and the caption at a place of a bucket."""
        numbers, bucket = turn.numbers[which], turn.buckets[which]
        epoch_start = place - place % len(numbers)
        for tried in range(len(numbers)):
            candidate = epoch_start + (place + tried) % len(numbers)
            number = int(numbers[turn.plan.picture(which, candidate)])
            entry = self._pictures.entry(number)
            try:
                return fit(self._pictures.read(number), bucket), entry.caption
            except BrokenPictureError as error:
                self._broken[entry.name] = str(error)
        raise NoPicturesError(
            f"All {len(numbers)} pictures that go to {bucket.height_px} x {bucket.width_px} px (height x width) are broken; "
            f"the last: {next(reversed(self._broken.values()))}. Repair or remove them, and train anew."
        )


class _PlannedTurn:
    """A turn with its pictures sorted into buckets."""

    def __init__(self, pictures: PictureSet, turn: Turn, options: BatchOptions) -> None:
        @lru_cache(maxsize=1 << 16)
        def bucket_of(width: int, height: int) -> int:
            return turn.buckets.index(nearest(turn.buckets, width_px=width, height_px=height))

        entries = (pictures.entry(number) for number in range(len(pictures)))
        bucket = np.fromiter((bucket_of(entry.width, entry.height) for entry in entries), dtype=np.int64)
        self.num_steps = turn.num_steps
        self.buckets = turn.buckets
        self.numbers = [np.flatnonzero(bucket == which) for which in range(len(turn.buckets))]
        self.plan = BucketPlan(
            [len(numbers) for numbers in self.numbers],
            num_places=options.num_pictures,
            seed=options.seed,
        )
