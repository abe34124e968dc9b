"""What a generator is: prompts and seeds in, images out, any number of steps. There is no torch here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Generator(Protocol):
    """A text-to-image model, ready to draw."""

    name: str
    """As the leaderboard shows it."""

    def nfe(self, num_steps: int) -> int | None:
        """Network evaluations that one image takes at this step count; None where that is not known."""
        ...

    def generate(self, prompts: Sequence[str], seeds: Sequence[int], num_steps: int) -> NDArray[np.uint8]:
        """Draw one image for each prompt and its seed.

        Returns:
            (B, H, W, 3) uint8 in [0, 255], channels red, green, blue. The same batch gives the same bits.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """What to record with the images: sampler options, device, precision. JSON types only."""
        ...
