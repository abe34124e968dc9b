"""Pictures for a page: small WebP files whose sum keeps to a budget."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from selfe_eval.report.html.content import Thumbnail


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduction:
    """How pictures are made small."""

    side_px: int
    """Longest side; smaller pictures keep their pixels."""
    quality: int
    """Of WebP, in [0, 100]."""

    def sentence(self, largest_px: int) -> str:
        """For the reader of a page, whose largest picture has this longest side, in pixels.

        >>> Reduction(side_px=192, quality=85).sentence(64)
        'Pictures have their full size and are saved as WebP of quality 85; the detector saw the images themselves.'
        """
        size = f"are reduced to {self.side_px} px" if largest_px > self.side_px else "have their full size"
        return f"Pictures {size} and are saved as WebP of quality {self.quality}; the detector saw the images themselves."


REDUCTIONS = (
    Reduction(side_px=192, quality=85),
    Reduction(side_px=192, quality=75),
    Reduction(side_px=160, quality=75),
    Reduction(side_px=128, quality=70),
    Reduction(side_px=128, quality=50),
    Reduction(side_px=96, quality=50),
    Reduction(side_px=64, quality=40),
)
"""From the best to the smallest; the first one that keeps to the budget is taken."""

_MARGIN = 1.08
"""By how much a sample may err about all pictures."""


def thumbnail(pixels: NDArray[np.uint8], reduction: Reduction) -> Thumbnail:
    """A picture of a page.

    Args:
        pixels: (H, W, 3) uint8 in [0, 255], red, green, blue.
        reduction: How small.
    """
    image = Image.fromarray(pixels)
    size = image.size
    if max(size) > reduction.side_px:
        image.thumbnail((reduction.side_px, reduction.side_px), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, format="WEBP", quality=reduction.quality)
    return Thumbnail(webp=stream.getvalue(), size=size)


def base64_bytes(num_bytes: int) -> int:
    """Characters of so many bytes in base64.

    >>> base64_bytes(4)
    8
    """
    return 4 * -(-num_bytes // 3)


def fitting(
    sample: Iterable[NDArray[np.uint8]],
    num_images: int,
    budget_bytes: float,
    *,
    after: Reduction | None = None,
) -> Reduction | None:
    """The best reduction with which so many pictures keep to a budget; None where not even the smallest does.

    Args:
        sample: Pixels of some of them, (H, W, 3) uint8.
        num_images: How many there are in all.
        budget_bytes: What all of them may take in base64.
        after: Only reductions behind this one.
    """
    pictures = list(sample)
    start = 0 if after is None else REDUCTIONS.index(after) + 1
    for reduction in REDUCTIONS[start:]:
        total = sum(base64_bytes(len(thumbnail(pixels, reduction).webp)) for pixels in pictures)
        if not pictures or total / len(pictures) * num_images * _MARGIN <= budget_bytes:
            return reduction
    return None
