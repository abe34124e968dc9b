"""Networks by name."""

from __future__ import annotations

from selfe.denoiser import DenoiserConfig
from selfe.model import ModelConfig
from selfe.text import TextConfig


def tiny(text: TextConfig) -> ModelConfig:
    """6.2 M parameters: 2 double and 4 single blocks of width 224 on 16 image tokens, one shared modulation map."""
    denoiser = DenoiserConfig(
        width=224,
        num_heads=7,
        num_double=2,
        num_single=4,
        rope_dims=(4, 14, 14),
        text_width=text.width,
        grid=(4, 4),
        modulation="shared",
    )
    return ModelConfig(denoiser=denoiser, text=text, parametrisation="x0")


def smoke(text: TextConfig) -> ModelConfig:
    """The smallest: one block of each kind of width 64 on 16 image tokens, to see that everything runs."""
    denoiser = DenoiserConfig(
        width=64,
        num_heads=2,
        num_double=1,
        num_single=1,
        rope_dims=(4, 14, 14),
        text_width=text.width,
        grid=(4, 4),
        modulation="shared",
    )
    return ModelConfig(denoiser=denoiser, text=text, parametrisation="x0")
