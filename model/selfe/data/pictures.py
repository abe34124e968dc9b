"""What a set of captioned pictures is, wherever it lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class BrokenPictureError(ValueError):
    """A picture that cannot be read; the message names it and says why."""


class NoPicturesError(ValueError):
    """Where training data was expected there is none that can be used."""

    @classmethod
    def of(cls, path: Path, skipped: Mapping[str, str]) -> NoPicturesError:
        """None of the pictures at ``path`` can be used; says why for the first few."""
        reasons = "; ".join(islice(skipped.values(), 3))
        return cls(
            f"Expected pictures with captions in {path}, found none that can be used ({len(skipped)} left out"
            f"{': ' * bool(skipped)}{reasons}). Repair these, or name another folder."
        )


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

    @property
    def skipped(self) -> Mapping[str, str]:
        """What was found and left out, by name, with a sentence that says why."""
        ...

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
