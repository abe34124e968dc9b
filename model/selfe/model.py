"""The conditional model: text encoder and denoiser together, as one function V(x_t, t, s, c) of prompts c.

A small model trains its text encoder along (``TextConfig``); a large one reads the embeddings of frozen encoders
(``FrozenTextConfig``), which are no part of its weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from torch import Tensor, nn

from selfe.condition import Condition
from selfe.denoiser import Denoiser, DenoiserConfig, TextFeatures
from selfe.parametrisation import Parametrisation
from selfe.text import TextConfig, TextEncoder
from selfe.times import SELFE_ANCHORS, Anchor, mu_of_length


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenTextConfig:
    """Two frozen text encoders: T5 for the token embeddings, CLIP for the pooled vector."""

    t5: str
    """A local directory or a hub name, as ``transformers`` reads it."""
    clip: str
    """A local directory or a hub name, as ``transformers`` reads it."""
    num_tokens: int = 256
    """T of T5: longer prompts are cut, and counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Everything that decides the shapes of the weights, and what the output means."""

    denoiser: DenoiserConfig
    text: TextConfig | FrozenTextConfig
    parametrisation: Parametrisation = "x0"
    anchors: tuple[Anchor, Anchor] = SELFE_ANCHORS
    """Two points of mu(L), which shifts the times in training and in sampling (S.12)."""

    def __post_init__(self) -> None:
        known = get_args(Parametrisation)
        if self.parametrisation not in known:
            raise ValueError(
                f"parametrisation must be one of {', '.join(known)}; got {self.parametrisation!r}."
            )

    def mu(self, grid: tuple[int, int] | None = None) -> float:
        """Mean shift of a grid of (rows, columns) image tokens; None: of the denoiser's own."""
        rows, columns = grid or self.denoiser.grid
        return mu_of_length(rows * columns, self.anchors)


RECOMPILE_LIMIT = 32
"""Graphs of one kind of block before the rest runs uncompiled: four modes, each for a few coincidences of sizes."""


class ConditionalModel(nn.Module):
    """Denoiser, and the text encoder that is trained with it if there is one."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.text = TextEncoder(config.text) if isinstance(config.text, TextConfig) else None
        self.denoiser = Denoiser(config.denoiser)

    def forward(
        self, x_t: Tensor, t: Tensor, s: Tensor, c: Condition, grid: tuple[int, int] | None = None
    ) -> Tensor:
        """Raw output (B, L, D) for noisy latents (B, L, D), times (B,) and B prompts, on a grid of L image tokens."""
        c = self.read(c)
        assert c.pooled is not None, "embeddings come with their pooled vector"
        out: Tensor = self.denoiser(x_t, t, s, TextFeatures(c.tokens, c.mask, c.pooled), grid)
        return out

    def read(self, c: Condition) -> Condition:
        """The same prompts as embeddings, by the model's own text encoder; embeddings themselves are left as they are."""
        if self.text is None or c.pooled is not None:
            return c
        tokens, pooled = self.text(c.tokens, c.mask)
        return Condition(tokens, c.mask, pooled)


def checkpoint_activations(model: ConditionalModel) -> None:
    """Keep only the blocks' inputs for the backward pass, which computes the rest again: less memory, more time.

    Gradients stay what they are. Passes without gradients, and autocast, are as before.
    """
    for block in model.denoiser.blocks():
        block.recompute = True


def compiled(model: ConditionalModel, *, backend: str = "inductor") -> ConditionalModel:
    """Compile the model's blocks in place and return it; names of weights stay, and a copy of it is not compiled.

    Each kind of block is compiled once for every mode it runs in (with gradients, without, with frozen weights), for all
    batch sizes and grids: what is compiled for one size alone would be compiled again at every change of the bucket.
    """
    from torch._dynamo import config

    # Sizes that are equal when a mode is first met (T text and I image tokens) are taken for one, and met once more.
    config.recompile_limit = max(RECOMPILE_LIMIT, config.recompile_limit)
    for block in model.denoiser.blocks():
        block.compile(dynamic=True, backend=backend)
    return model
