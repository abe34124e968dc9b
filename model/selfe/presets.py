"""Networks by name: the paper's two, between frozen encoders, and small ones that train their text encoder along.

Where the paper says nothing: padded text is masked in its networks. FLUX attends to its padding, so that a prompt reads
otherwise when it is padded to another length; the public code whose settings the paper shares (minFM) leaves padding out.
Small networks predict x0, which they learn far sooner; the paper's predict v, as it says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from selfe.denoiser import DenoiserConfig
from selfe.model import FrozenTextConfig, ModelConfig
from selfe.text import TextConfig

T5_WIDTH, CLIP_WIDTH = 4096, 768
"""T5-XXL's token embeddings and CLIP ViT-L/14's pooled vector."""
GRID_256_PX = (16, 16)


def two_b(text: FrozenTextConfig) -> ModelConfig:
    """2,247.7 M parameters: the paper's 2B. Width 2048, 16 heads of 128, 8 double and 16 single blocks."""
    denoiser = DenoiserConfig(
        width=2048,
        num_heads=16,
        num_double=8,
        num_single=16,
        rope_dims=(16, 56, 56),
        text_width=T5_WIDTH,
        pooled_width=CLIP_WIDTH,
        grid=GRID_256_PX,
        mask_text=True,
    )
    return ModelConfig(denoiser=denoiser, text=text, parametrisation="v")


def half_b(text: FrozenTextConfig) -> ModelConfig:
    """565.0 M parameters: the paper's 0.5B, of its ablations. Width 1024, 16 heads of 64, 8 double and 16 single blocks."""
    paper = two_b(text)
    return replace(paper, denoiser=replace(paper.denoiser, width=1024, rope_dims=(8, 28, 28)))


def smoke_frozen(text: FrozenTextConfig) -> ModelConfig:
    """0.6 M parameters between the paper's encoders: one block of each kind of width 64, to see that everything runs."""
    paper = two_b(text)
    denoiser = replace(
        paper.denoiser, width=64, num_heads=2, num_double=1, num_single=1, rope_dims=(4, 14, 14)
    )
    return replace(paper, denoiser=denoiser)


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
    """0.6 M parameters: one block of each kind of width 64 on 16 image tokens, to see that everything runs."""
    larger = tiny(text)
    return replace(
        larger, denoiser=replace(larger.denoiser, width=64, num_heads=2, num_double=1, num_single=1)
    )


BETWEEN_FROZEN_ENCODERS: Mapping[str, Callable[[FrozenTextConfig], ModelConfig]] = {
    "2b": two_b,
    "0.5b": half_b,
    "smoke-frozen": smoke_frozen,
}
WITH_THEIR_OWN_TEXT: Mapping[str, Callable[[TextConfig], ModelConfig]] = {"tiny": tiny, "smoke": smoke}
