"""Sinusoidal times and two-dimensional rotary positions, as in FLUX.

Shape legend: B batch, L tokens, H heads, K head size, D width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

NUM_FREQUENCIES = 128


def sinusoid(t: Tensor) -> Tensor:
    """Times (B,) in [0, 1] -> [cos, sin] of 1000 t at 128 frequencies from 1 to 1e-4, shape (B, 256)."""
    exponents = torch.arange(NUM_FREQUENCIES, device=t.device, dtype=torch.float32) / NUM_FREQUENCIES
    angles = 1000.0 * t.float()[:, None] * torch.exp(-math.log(10_000.0) * exponents)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class TwoLayer(nn.Module):
    """Linear - SiLU - Linear, FLUX's embedder of times and pooled text."""

    def __init__(self, num_inputs: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(num_inputs, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, num_inputs) -> (B, width)."""
        out: Tensor = self.layers(x)
        return out


def rotary_table(positions_LA: Tensor, axis_dims: tuple[int, ...]) -> Tensor:
    """Positions (L, axes) -> cosines and sines (2, L, K/2) of the rotary angles; K = sum of axis_dims, theta 10,000."""
    angles = []
    for axis, dims in enumerate(axis_dims):
        frequencies = 10_000.0 ** (-torch.arange(0, dims, 2, dtype=torch.float64) / dims)
        angles.append(positions_LA[:, axis, None].double() * frequencies)
    angle_LK = torch.cat(angles, dim=-1)
    return torch.stack([angle_LK.cos(), angle_LK.sin()]).float()


def rotate(x_BHLK: Tensor, table: Tensor) -> Tensor:
    """Turn each pair (x[i], x[i + K/2]) by its token's angles; norms are kept, dot products see position differences."""
    cos, sin = table.to(x_BHLK.dtype)
    first, second = x_BHLK.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def token_positions(num_text: int, height: int, width: int) -> Tensor:
    """Positions (frame, y, x) of [text tokens, image tokens in row order], shape (num_text + height * width, 3).

    Text tokens stand at (0, 0, 0), as in FLUX: their order reaches the denoiser through the text encoder.
    """
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    image = torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).reshape(-1, 3)
    return torch.cat([torch.zeros(num_text, 3, dtype=image.dtype), image])
