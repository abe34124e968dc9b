"""Resolution and aspect-ratio buckets: sizes of nearly one area, so that a batch of any of them costs the same.

The paper trains "near 256^2", then 256^2 and 512^2, with mixed aspect ratios, and names no list of sizes. Ours: every
number of token rows up to the square's, with the number of columns that comes nearest to the square's area, and the same
lying down. A side is a multiple of 16 px, one token (8x down, 2 x 2 patches).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

TOKEN_PX = 16
"""Side of the picture's square that one token stands for: 2 x 2 latents of 8 x 8 pixels each."""


class Bucket(NamedTuple):
    """A size of pictures, both sides multiples of TOKEN_PX."""

    height_px: int
    width_px: int

    @property
    def grid(self) -> tuple[int, int]:
        """Image tokens as (rows, columns)."""
        return self.height_px // TOKEN_PX, self.width_px // TOKEN_PX


def aspect_buckets(side_px: int, max_aspect: float = 2.0) -> tuple[Bucket, ...]:
    """The sizes with about the area of a square of ``side_px``, from the tallest to the widest.

    With n = side_px / 16 token rows in the square, every area lies within 1 / (2 n) of side_px^2: 3.1 % at 256 px.

    Args:
        side_px: The budget: the side of the square, a multiple of 16.
        max_aspect: Longer side through shorter side, at most; 1 leaves the square alone.

    Raises:
        ValueError: side_px is no positive multiple of 16, or max_aspect is less than 1.

    >>> [bucket.grid for bucket in aspect_buckets(64, max_aspect=4.0)]
    [(8, 2), (5, 3), (4, 4), (3, 5), (2, 8)]
    """
    if side_px < TOKEN_PX or side_px % TOKEN_PX:
        raise ValueError(f"A side is a positive multiple of {TOKEN_PX} px, one token; got side_px {side_px}.")
    if not max_aspect >= 1.0:
        raise ValueError(f"max_aspect is longer side through shorter side, at least 1; got {max_aspect}.")
    n = side_px // TOKEN_PX
    lying = [(rows, round(n * n / rows)) for rows in range(n, 0, -1)]
    lying = [(rows, columns) for rows, columns in lying if columns <= max_aspect * rows]
    standing = [(columns, rows) for rows, columns in reversed(lying[1:])]
    return tuple(Bucket(rows * TOKEN_PX, columns * TOKEN_PX) for rows, columns in standing + lying)


def nearest(buckets: Sequence[Bucket], *, width_px: int, height_px: int) -> Bucket:
    """The bucket whose aspect ratio is nearest in the logarithm to a picture's; of two alike the squarer one."""
    aspect = math.log(width_px) - math.log(height_px)
    return min(buckets, key=lambda bucket: (abs(aspect - _log_aspect(bucket)), abs(_log_aspect(bucket))))


def _log_aspect(bucket: Bucket) -> float:
    return math.log(bucket.width_px) - math.log(bucket.height_px)
