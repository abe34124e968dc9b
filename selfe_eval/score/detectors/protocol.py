"""What a detector is: images whose channel order is part of their type, in; boxes, scores and masks, out.

The channel order is in the type because several GenEval forks hand RGB arrays to a function that takes BGR,
and nothing fails: red and blue things are merely judged worse. There is no torch here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class RgbImages:
    """A batch of 8-bit images of one size, channels in the order red, green, blue."""

    pixels: NDArray[np.uint8]
    """(B, H, W, 3) uint8 in [0, 255]."""

    def __post_init__(self) -> None:
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 4 or self.pixels.shape[-1] != 3:
            raise ValueError(
                "RgbImages takes uint8 pixels of shape (batch, height, width, 3); "
                f"got {self.pixels.dtype} of shape {self.pixels.shape}."
            )

    def __len__(self) -> int:
        return int(self.pixels.shape[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """Everything found in one image, in any order; N may be 0."""

    class_index: NDArray[np.int64]
    """(N,) index into the 80 GenEval classes."""
    boxes: NDArray[np.float32]
    """(N, 4) x0 y0 x1 y1 in pixels, y down, right and bottom exclusive; whole numbers."""
    scores: NDArray[np.float32]
    """(N,) confidence in [0, 1]."""
    masks: NDArray[np.bool_]
    """(N, H, W) the pixels of each object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Which detections count; every detector has its own, recorded with each result."""

    confidence: float
    """Detections above it count, in every task but counting."""
    counting: float
    """Detections above it count in the counting task."""
    max_objects: int = 16
    """At most so many of a class, the most confident ones."""


class Detector(Protocol):
    """A backend that finds the 80 GenEval classes."""

    name: str
    thresholds: Thresholds
    batch_size: int
    """Images worth handing over together; their scores are on disk before the next ones are looked at."""

    def detect(self, images: RgbImages, *, floor: float = 0.0) -> list[Detections]:
        """Find objects.

        Args:
            images: B images.
            floor: Detections that score at most this much may be left out, and their masks never made.

        Returns:
            One ``Detections`` for each image, in order; rounding aside, independent of how images are batched.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """What to record with a result: weights hash, versions, device, thresholds. JSON types only."""
        ...
