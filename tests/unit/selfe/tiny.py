"""A model small enough to train in a test."""

from __future__ import annotations

import torch

from selfe.denoiser import DenoiserConfig
from selfe.loop import step_generator
from selfe.model import ModelConfig
from selfe.parametrisation import Parametrisation
from selfe.text import TextConfig
from selfe.trainer import Captioned

PHRASES = ("dog|dogs", "cat", "traffic light", "light", "red", "two", "left of")


def config(parametrisation: Parametrisation = "x0") -> ModelConfig:
    return ModelConfig(
        denoiser=DenoiserConfig(
            width=32,
            num_heads=2,
            num_double=1,
            num_single=1,
            rope_dims=(4, 6, 6),
            text_width=32,
            grid=(2, 2),
            modulation="shared",
        ),
        text=TextConfig(
            phrases=PHRASES, silent=("a", "photo", "of", "and"), num_tokens=4, width=32, num_layers=1
        ),
        parametrisation=parametrisation,
    )


class RandomLatents:
    """Latents and captions that depend on the step only."""

    def batch(self, step: int) -> Captioned:
        generator = step_generator(0, step, purpose="test-data")
        return Captioned(
            torch.randn(8, 4, 64, generator=generator),
            torch.randint(3, 3 + len(PHRASES), (8, 4), generator=generator),
        )
