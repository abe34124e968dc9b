"""A model small enough to train in a test."""

from __future__ import annotations

import torch

from selfe.condition import Condition
from selfe.denoiser import DenoiserConfig
from selfe.model import ConditionalModel, ModelConfig
from selfe.objectives.networks import Networks
from selfe.parametrisation import Parametrisation
from selfe.text import NULL, PAD, TextConfig
from selfe.training.loop import step_generator
from selfe.training.trainer import Captioned

PHRASES = ("dog|dogs", "cat", "traffic light", "light", "red", "two", "left of")


TEXT = TextConfig(phrases=PHRASES, silent=("a", "photo", "of", "and"), num_tokens=4, width=32, num_layers=1)


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
        text=TEXT,
        parametrisation=parametrisation,
    )


class RandomLatents:
    """Latents and captions that depend on the step and the part only."""

    def __init__(self, num_rows: int = 8) -> None:
        self.num_rows = num_rows

    @property
    def null(self) -> Condition:
        return condition(torch.tensor([[NULL, PAD, PAD, PAD]]))

    def batch(self, step: int, part: int) -> Captioned:
        generator = step_generator(0, step, purpose=f"test-data {part}")
        latents = torch.randn(self.num_rows, 4, 64, generator=generator)
        tokens = torch.randint(3, 3 + len(PHRASES), (self.num_rows, 4), generator=generator)
        return Captioned(latents, condition(tokens), (2, 2))


def condition(tokens: torch.Tensor) -> Condition:
    return Condition(tokens, tokens != PAD)


def networks(model: ConditionalModel, average: ConditionalModel) -> Networks:
    return Networks(live=model, average=average, parametrisation=model.config.parametrisation)
