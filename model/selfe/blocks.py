"""FLUX's transformer blocks: double stream (text and image keep their own weights) and single stream.

Both attend over [text, image] jointly, with RMS-normalised queries and keys and rotary positions. Every block is
modulated by the embedding of the two times and the pooled text: shift, scale and gate for each branch. ``modulation`` is
given from outside, so that a large model can have one linear map per block and a small one can share it.

Shape legend: B batch, T text tokens, I image tokens, L = T + I, D width, H heads, K head size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from selfe.embeddings import rotate


class QKNorm(nn.Module):
    """RMS norm over the head size with a learned scale, in the dtype of its input.

    The scale is cast, and autocast stepped out of: a float32 scale misses the fused bfloat16 kernel, and on CUDA autocast
    itself would compute ``rms_norm`` in float32 and hand the attention float32 queries and keys to cast back.
    """

    def __init__(self, head_size: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(head_size))

    def forward(self, x_BHLK: Tensor) -> Tensor:
        """(B, H, L, K) -> the same shape and dtype."""
        with torch.autocast(x_BHLK.device.type, enabled=False):
            return F.rms_norm(x_BHLK, self.scale.shape, self.scale.to(x_BHLK.dtype), eps=1e-6)


def modulate(x_BLD: Tensor, shift_BD: Tensor, scale_BD: Tensor) -> Tensor:
    """(1 + scale) * layer_norm(x) + shift, without learned affine parameters."""
    normed = F.layer_norm(x_BLD, x_BLD.shape[-1:], eps=1e-6)
    return torch.addcmul(shift_BD[:, None], normed, 1.0 + scale_BD[:, None])


def split_heads(qkv_BLX: Tensor, num_heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """(B, L, 3D) -> queries, keys, values, each (B, H, L, K)."""
    batch, length, _ = qkv_BLX.shape
    q, k, v = qkv_BLX.view(batch, length, 3, num_heads, -1).permute(2, 0, 3, 1, 4)
    return q, k, v


def attend(q: Tensor, k: Tensor, v: Tensor, rotary: Tensor, keys_B11L: Tensor | None = None) -> Tensor:
    """Joint attention over all tokens, or over those that are true in ``keys_B11L``: (B, H, L, K) each -> (B, L, D)."""
    q, k = rotate(q, rotary), rotate(k, rotary)
    if q.device.type == "cpu" and q.shape[2] <= 64:
        # The fused CPU kernel tiles for long sequences: at 22 tokens its backward pass alone cost a quarter of a step.
        scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        if keys_B11L is not None:
            scores = scores.masked_fill(~keys_B11L, -torch.inf)
        out = torch.softmax(scores, dim=-1, dtype=q.dtype) @ v
    else:
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=keys_B11L)
    return out.transpose(1, 2).flatten(2)


class Stream(nn.Module):
    """One side (text or image) of a double-stream block: its projections, its MLP, its query and key norms."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.query_norm = QKNorm(width // num_heads)
        self.key_norm = QKNorm(width // num_heads)
        self.proj = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )

    def queries_keys_values(self, x_BLD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Modulated tokens (B, L, D) -> normalised queries and keys, and values, each (B, H, L, K)."""
        q, k, v = split_heads(self.qkv(x_BLD), self.num_heads)
        return self.query_norm(q), self.key_norm(k), v


class Block(nn.Module):
    """A block that can be told to forget what happens inside it, and to compute it again in the backward pass.

    It does so from within, where ``torch.compile`` sees it and makes one graph of it, and where the hooks of a sharded
    block stay outside: recomputing a compiled block from without may pick another graph than the first time, and fail.
    """

    recompute = False

    def forward(self, *arguments: Any) -> Any:
        """``run``, with its activations kept or computed again; passes without gradients keep none anyway."""
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(self.run, *arguments, use_reentrant=False, preserve_rng_state=False)
        return self.run(*arguments)

    def run(self, *arguments: Any) -> Any:
        """What the block computes."""
        raise NotImplementedError


class DoubleStreamBlock(Block):
    """Text and image tokens with separate weights and one joint attention."""

    NUM_MODULATION = 12
    """Vectors of width D that the block needs: (shift, scale, gate) x (attention, MLP) x (image, text)."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.image = Stream(width, num_heads)
        self.text = Stream(width, num_heads)

    def run(
        self,
        image_BID: Tensor,
        text_BTD: Tensor,
        modulation: tuple[Tensor, ...],
        rotary: Tensor,
        keys_B11L: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(image, text) -> (image, text), shapes unchanged; ``modulation`` is 12 tensors (B, D)."""
        of_image, of_text = modulation[:6], modulation[6:]
        q_i, k_i, v_i = self.image.queries_keys_values(modulate(image_BID, of_image[0], of_image[1]))
        q_t, k_t, v_t = self.text.queries_keys_values(modulate(text_BTD, of_text[0], of_text[1]))
        q, k, v = (torch.cat(pair, dim=2) for pair in ((q_t, q_i), (k_t, k_i), (v_t, v_i)))
        attended = attend(q, k, v, rotary, keys_B11L)
        num_text = text_BTD.shape[1]
        image_BID = _finish_stream(self.image, image_BID, attended[:, num_text:], of_image)
        text_BTD = _finish_stream(self.text, text_BTD, attended[:, :num_text], of_text)
        return image_BID, text_BTD


def _finish_stream(stream: Stream, x: Tensor, attended: Tensor, modulation: tuple[Tensor, ...]) -> Tensor:
    _, _, attention_gate, mlp_shift, mlp_scale, mlp_gate = modulation
    x = torch.addcmul(x, attention_gate[:, None], stream.proj(attended))
    return torch.addcmul(x, mlp_gate[:, None], stream.mlp(modulate(x, mlp_shift, mlp_scale)))


class SingleStreamBlock(Block):
    """All tokens with the same weights; attention and MLP in parallel, joined by one output projection."""

    NUM_MODULATION = 3
    """Vectors of width D that the block needs: shift, scale, gate."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.width = width
        self.num_heads = num_heads
        self.inputs = nn.Linear(width, 7 * width)
        self.query_norm = QKNorm(width // num_heads)
        self.key_norm = QKNorm(width // num_heads)
        self.outputs = nn.Linear(5 * width, width)

    def run(
        self,
        x_BLD: Tensor,
        modulation: tuple[Tensor, ...],
        rotary: Tensor,
        keys_B11L: Tensor | None = None,
    ) -> Tensor:
        """(B, L, D) -> the same shape; ``modulation`` is 3 tensors (B, D)."""
        shift, scale, gate = modulation
        qkv, hidden = self.inputs(modulate(x_BLD, shift, scale)).split(
            [3 * self.width, 4 * self.width], dim=-1
        )
        q, k, v = split_heads(qkv, self.num_heads)
        attended = attend(self.query_norm(q), self.key_norm(k), v, rotary, keys_B11L)
        joined = torch.cat([attended, F.gelu(hidden, approximate="tanh")], dim=-1)
        return torch.addcmul(x_BLD, gate[:, None], self.outputs(joined))
