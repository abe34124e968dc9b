"""What a set of captioned pictures is, wherever it lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class BrokenPictureError(ValueError):
    """A picture that cannot be read; the message names it and says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One picture, known without decoding it."""

    name: str
    """Where it lies, for people: a path inside the folder, or shard and key."""
    width: int
    """Pixels."""
    height: int
    """Pixels."""
    caption: str
    """Its prompt."""


class PictureSet(Protocol):
    """Captioned pictures by number."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def entry(self, number: int) -> Entry:
        """What is known of a picture without decoding it."""
        ...

    def read(self, number: int) -> NDArray[np.uint8]:
        """Decode a picture: (H, W, 3) uint8, RGB.

        Raises:
            BrokenPictureError: it cannot be decoded.
        """
        ...
