"""Multi-scale deformable attention on a CPU: the one part of Mask2Former that libraries leave slow there.

Both mmcv and transformers sample each level with ``grid_sample`` and then add up copies, a third of the network's time.
Sampling is a weighted sum of four corners a point, so the whole of it is one weighted bag of rows per query and head,
for which PyTorch has a kernel. The same function, up to rounding; on a GPU the libraries' own is used.

Legend: B images, S positions on all levels, H heads, D channels a head, Q queries, L levels, P points.
Source: Zhu et al., Deformable DETR (arXiv 2010.04159), equation 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

import torch
from torch import Tensor
from torch.nn import functional


def deformable_attention(
    value: Tensor,
    level_sizes: Tensor | Sequence[tuple[int, int]],
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Sample every level bilinearly at the given points and add up by weight.

    Args:
        value: (B, S, H, D), the levels one after the other, each row by row.
        level_sizes: L pairs (height, width) with S positions in all.
        sampling_locations: (B, Q, H, L, P, 2), x and y from 0 to 1 across a level; outside of it everything is zero.
        attention_weights: (B, Q, H, L, P).

    Returns:
        (B, Q, H * D).
    """
    num_images, num_positions, num_heads, channels = value.shape
    num_queries = sampling_locations.shape[1]
    sizes = [(int(height), int(width)) for height, width in level_sizes]
    positions, weights = _corners(sizes, sampling_locations, attention_weights)
    image = torch.arange(num_images, dtype=torch.int32)[:, None, None, None]
    head = torch.arange(num_heads, dtype=torch.int32)[:, None]
    rows = (positions + image * num_positions) * num_heads + head
    bags = num_images * num_queries * num_heads
    summed = functional.embedding_bag(
        rows.reshape(bags, -1),
        value.reshape(-1, channels),
        per_sample_weights=weights.reshape(bags, -1),
        mode="sum",
    )
    return summed.view(num_images, num_queries, num_heads * channels)


def _corners(
    sizes: Sequence[tuple[int, int]], locations: Tensor, attention_weights: Tensor
) -> tuple[Tensor, Tensor]:
    """The four pixels around each point, as positions among the S, and their weights: (B, Q, H, 4 L P) each."""
    width = torch.tensor([[w] for _, w in sizes], dtype=torch.int32)
    height = torch.tensor([[h] for h, _ in sizes], dtype=torch.int32)
    start = torch.tensor([h * w for h, w in sizes]).cumsum(0).to(torch.int32)[:, None] - height * width
    columns = _neighbours(locations[..., 0], width)
    rows = _neighbours(locations[..., 1], height)
    positions, weights = [], []
    for row, row_weight in rows:
        row_start, row_share = start + row * width, row_weight * attention_weights
        for column, column_weight in columns:
            positions.append(row_start + column)
            weights.append(row_share * column_weight)
    return torch.stack(positions, dim=-1).flatten(3), torch.stack(weights, dim=-1).flatten(3)


def _neighbours(locations: Tensor, size: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The two pixels beside each location on an axis, and their weights; a pixel outside has weight zero."""
    at = locations * size - 0.5
    low = at.floor()
    share = at - low
    first = low.to(torch.int32)
    found = []
    for pixel, weight in ((first, 1 - share), (first + 1, share)):
        is_inside = (pixel >= 0) & (pixel < size)
        found.append((pixel.clamp(min=0).minimum(size - 1), weight * is_inside))
    return found


@contextmanager
def fast_on_cpu(module: ModuleType, name: str, device: str) -> Iterator[None]:
    """Inside, a library's module has this function under the library's name for it, if the device is the CPU."""
    if torch.device(device).type != "cpu":
        yield
        return
    theirs = getattr(module, name)
    setattr(module, name, deformable_attention)
    try:
        yield
    finally:
        setattr(module, name, theirs)
