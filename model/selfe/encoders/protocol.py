"""The two ends of the network: a reader of prompts and a coder of pictures, small and bundled or large and frozen."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from selfe.condition import Condition


class PromptReader(Protocol):
    """Turns prompts into what the network is told."""

    def __call__(self, prompts: list[str]) -> Condition:
        """One row for each prompt; the empty prompt is the null prompt phi of guidance.

        Raises:
            ValueError: a prompt is longer than the model reads.
        """
        ...

    def unknown_words(self, prompt: str) -> list[str]:
        """The words of a prompt that the model has never seen; empty where that cannot be said."""
        ...


class LatentCoder(Protocol):
    """Pictures <-> standardised latents, 8x down."""

    def encode(self, images_BCHW: Tensor) -> Tensor:
        """Float (B, 3, H, W) in [-1, 1] -> latents (B, C, H/8, W/8)."""
        ...

    def decode(self, latents_BChw: Tensor) -> Tensor:
        """Latents (B, C, h, w) -> float (B, 3, 8h, 8w), near [-1, 1] but not clamped."""
        ...
