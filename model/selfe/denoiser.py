"""The dual-time denoiser: FLUX's network with e = MLP_t(t) + MLP_s(t - s) in place of its single time embedding (S.9-S.10).

Shape legend: B batch, T text tokens, I image tokens, L = T + I, D width, P numbers per image token.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from selfe.blocks import Block, DoubleStreamBlock, SingleStreamBlock, modulate
from selfe.embeddings import NUM_FREQUENCIES, TwoLayer, rotary_table, sinusoid, token_positions


@dataclass(frozen=True, slots=True, kw_only=True)
class DenoiserConfig:
    """Sizes of the denoiser."""

    width: int
    """D."""
    num_heads: int
    """D / head size."""
    num_double: int
    """Double-stream blocks."""
    num_single: int
    """Single-stream blocks."""
    rope_dims: tuple[int, int, int]
    """Rotary dimensions of (frame, y, x); they sum to the head size and each is even."""
    text_width: int
    """Width of the text tokens."""
    pooled_width: int | None = None
    """Width of the pooled text vector; None: that of the text tokens."""
    grid: tuple[int, int]
    """Image tokens as (rows, columns) where the caller names no other grid."""
    token_dims: int = 64
    """P: 16 latent channels x 2 x 2."""
    modulation: Literal["per_block", "shared"] = "per_block"
    """One modulation map for each block (FLUX, the paper), or one for all with a learned offset for each block."""
    mask_text: bool = False
    """Whether padded text tokens are left out of the attention. FLUX attends to them; the paper does not say."""

    def __post_init__(self) -> None:
        if self.modulation not in ("per_block", "shared"):
            raise ValueError(f"modulation must be one of per_block, shared; got {self.modulation!r}.")
        head_size = self.width // self.num_heads
        if (
            self.width % self.num_heads
            or sum(self.rope_dims) != head_size
            or any(d % 2 for d in self.rope_dims)
        ):
            raise ValueError(
                f"rope_dims must be even and sum to the head size width / num_heads; "
                f"got rope_dims {self.rope_dims}, width {self.width}, num_heads {self.num_heads}."
            )


class TextFeatures(NamedTuple):
    """A batch of prompts as the denoiser reads them."""

    tokens: Tensor
    """(B, T, X)."""
    mask: Tensor
    """bool (B, T): the real tokens."""
    pooled: Tensor
    """(B, Y)."""


class Modulation(nn.Module):
    """The embedding e -> every block's shifts, scales and gates; all zero at initialisation (adaLN-zero)."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        counts = [DoubleStreamBlock.NUM_MODULATION] * config.num_double
        counts += [SingleStreamBlock.NUM_MODULATION] * config.num_single
        self.counts = counts
        self.shared = config.modulation == "shared"
        if self.shared:
            self.maps = nn.ModuleList([_zero_linear(config.width, max(counts) * config.width)])
            self.offsets = nn.ParameterList([torch.zeros(count * config.width) for count in counts])
        else:
            self.maps = nn.ModuleList([_zero_linear(config.width, count * config.width) for count in counts])

    def forward(self, e_BD: Tensor) -> list[tuple[Tensor, ...]]:
        """(B, D) -> for each block its tuple of (B, D) tensors."""
        e_BD = F.silu(e_BD)
        if not self.shared:
            return [
                linear(e_BD).chunk(count, dim=-1)
                for linear, count in zip(self.maps, self.counts, strict=True)
            ]
        common = self.maps[0](e_BD)
        return [
            (common[:, : offset.shape[0]] + offset.to(common.dtype)).chunk(count, dim=-1)
            for offset, count in zip(self.offsets, self.counts, strict=True)
        ]


class Denoiser(nn.Module):
    """V(x, t, s, c) or G(x, t, s, c), as ``selfe.parametrisation`` reads the output."""

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.image_in = nn.Linear(config.token_dims, width)
        self.text_in = nn.Linear(config.text_width, width)
        self.embed_t = TwoLayer(2 * NUM_FREQUENCIES, width)
        self.embed_gap = TwoLayer(2 * NUM_FREQUENCIES, width)
        self.embed_pooled = TwoLayer(config.pooled_width or config.text_width, width)
        self.modulation = Modulation(config)
        self.double_blocks = nn.ModuleList(
            [DoubleStreamBlock(width, config.num_heads) for _ in range(config.num_double)]
        )
        self.single_blocks = nn.ModuleList(
            [SingleStreamBlock(width, config.num_heads) for _ in range(config.num_single)]
        )
        self.final_modulation = nn.Linear(width, 2 * width)
        self.image_out = nn.Linear(width, config.token_dims)
        self._initialise()

    def blocks(self) -> list[Block]:
        """All blocks, in order."""
        return [block for block in (*self.double_blocks, *self.single_blocks) if isinstance(block, Block)]

    def _initialise(self) -> None:
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear) and not name.startswith("modulation"):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        nn.init.zeros_(self.final_modulation.weight)

    def forward(
        self, x_t: Tensor, t: Tensor, s: Tensor, text: TextFeatures, grid: tuple[int, int] | None = None
    ) -> Tensor:
        """Noisy tokens (B, I, P), times (B,) and text -> output (B, I, P); I = rows * columns of ``grid``."""
        rows, columns = grid or self.config.grid
        rotary = _rotary(text.tokens.shape[1], rows, columns, self.config.rope_dims, x_t.device)
        keys = _attended_keys(text.mask, rows * columns) if self.config.mask_text else None
        e = self.embed_t(sinusoid(t)) + self.embed_gap(sinusoid(t - s)) + self.embed_pooled(text.pooled)
        modulations = self.modulation(e)
        image, text_tokens = self.image_in(x_t), self.text_in(text.tokens)
        num_double = self.config.num_double
        for block, modulation in zip(self.double_blocks, modulations[:num_double], strict=True):
            image, text_tokens = block(image, text_tokens, modulation, rotary, keys)
        joint = torch.cat([text_tokens, image], dim=1)
        for block, modulation in zip(self.single_blocks, modulations[num_double:], strict=True):
            joint = block(joint, modulation, rotary, keys)
        shift, scale = self.final_modulation(F.silu(e)).chunk(2, dim=-1)
        out: Tensor = self.image_out(modulate(joint[:, text_tokens.shape[1] :], shift, scale))
        return out


def _attended_keys(mask_BT: Tensor, num_image: int) -> Tensor:
    image_BI = mask_BT.new_ones(len(mask_BT), num_image)
    return torch.cat([mask_BT, image_BI], dim=1)[:, None, None]


def _zero_linear(num_inputs: int, num_outputs: int) -> nn.Linear:
    linear = nn.Linear(num_inputs, num_outputs)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


@lru_cache(maxsize=64)
def _rotary(
    num_text: int, rows: int, columns: int, dims: tuple[int, int, int], device: torch.device
) -> Tensor:
    """Made once for a size and a device: a table copied in every call would hold up a GPU."""
    with torch.inference_mode(mode=False):  # a table first made while sampling must serve training too
        return rotary_table(token_positions(num_text, rows, columns), dims).to(device)
