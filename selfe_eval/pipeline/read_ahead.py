"""Image files as arrays for a scorer, read, checked and decoded in one background thread while it works.

A batch of files becomes one or more trays, each of so few pixels that memory depends neither on the number of
images nor on how large they are. How a batch is cut follows from its images alone, never from how fast anybody is:
the bits of a score depend on what is judged together. At most one tray is made ahead.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from selfe_eval import provenance
from selfe_eval.runs.images import ImageRecord
from selfe_eval.score.decode import UNREADABLE, decode_rgb
from selfe_eval.score.detectors.protocol import RgbImages

MAX_PIXELS = 64 << 20
"""Most pixels in one tray (64 images of 1024 x 1024, 192 MiB), unless a single image has more."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """An image file that cannot be judged."""

    image: ImageRecord
    """Which one."""
    sha256: str | None
    """Of the file as it is now; None where it could not be read."""
    reason: str
    """What is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Images of one size, to be judged together."""

    images: tuple[ImageRecord, ...]
    """Their records."""
    pixels: RgbImages
    """Their pixels, in the same order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tray:
    """A batch of images, or a part of one."""

    stacks: tuple[Stack, ...]
    """The images that can be judged, in the order in which their sizes occur."""
    unreadable: tuple[Unreadable, ...]
    """The others."""
    ends_batch: bool
    """True for the last part of a batch."""


def trays(folder: Path, batches: Iterable[Sequence[ImageRecord]]) -> Iterator[Tray]:
    """Read, check and decode image files.

    Args:
        folder: What the records' paths are relative to.
        batches: The images, batch by batch.

    Yields:
        One or more trays for each batch, in order; the last of a batch says so.
    """
    for batch in batches:
        by_shape: _ByShape = {}
        unreadable: list[Unreadable] = []
        num_pixels = 0
        for image in batch:
            found = _read(folder, image)
            if isinstance(found, Unreadable):
                unreadable.append(found)
                continue
            if num_pixels and num_pixels + _num_pixels(found) > MAX_PIXELS:
                yield Tray(stacks=_stacked(by_shape), unreadable=(), ends_batch=False)
                num_pixels = 0
            num_pixels += _num_pixels(found)
            by_shape.setdefault(found.shape, []).append((image, found))
            del found
        yield Tray(stacks=_stacked(by_shape), unreadable=tuple(unreadable), ends_batch=True)


def one_ahead(items: Iterator[Item]) -> Generator[Item]:
    """The same items, each made in a background thread while the one before it is in use.

    Close it (``contextlib.closing``) where it may be left early, or the thread outlives the work.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item


_ByShape = dict[tuple[int, ...], list[tuple[ImageRecord, NDArray[np.uint8]]]]


def _read(folder: Path, image: ImageRecord) -> NDArray[np.uint8] | Unreadable:
    """The decoded image, or why there is none."""
    sha256 = None
    try:
        content = (folder / image.path).read_bytes()
        sha256 = provenance.bytes_sha256(content)
        if sha256 == image.sha256:
            return decode_rgb(content)
        reason = f"the file has SHA-256 {sha256}, but its record says {image.sha256}"
    except UNREADABLE as error:
        reason = f"the file cannot be read as an image ({type(error).__name__}: {error})"
    return Unreadable(image=image, sha256=sha256, reason=reason)


def _num_pixels(pixels: NDArray[np.uint8]) -> int:
    return pixels.size // 3


def _stacked(by_shape: _ByShape) -> tuple[Stack, ...]:
    """One stack for each size; empties the table on the way, so that few pixels are there twice."""
    stacks = []
    for shape in tuple(by_shape):
        images, pixels = zip(*by_shape.pop(shape), strict=True)
        stacks.append(Stack(images=images, pixels=RgbImages(pixels=np.stack(pixels))))
    return tuple(stacks)
