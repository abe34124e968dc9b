"""What goes wrong with images on their way to a judge: blur, smear, coarse compression, other light, noise.

A judge trained on clean scenes alone would fail on the soft and grainy images of few-step generators. Hue is
never touched, because colour is what is judged. This does not imitate any one generator or file format.

Legend: B images, C = 3 channels RGB, H rows, W columns.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

BLUR_PX = 1.2
"""Largest standard deviation of the Gaussian blur."""
SMEAR_PX = 3.0
"""Largest mean length of the smear, to one side along rows or columns."""
SMEAR_SHARE = 0.25
"""Share of images that are smeared at all."""
NOISE = 20 / 255
"""Largest standard deviation of the noise."""
COMPRESSION = 1.5
"""Largest strength of the compression; at 1 it is about as coarse as JPEG at quality 50."""
GAIN, LIFT = 0.1, 0.05
"""Largest change of contrast (a factor) and of brightness (a summand)."""
BLOCK_PX = 8


def corrupt(images: Tensor, generator: torch.Generator) -> Tensor:
    """Corrupt each image in its own strength of everything, in the order in which it happens to real images.

    Args:
        images: (B, 3, H, W) float32 RGB in [0, 1].
        generator: On the images' device; decides all strengths and the noise.

    Returns:
        New images of the same shape and range.
    """
    blurred = blur(images, BLUR_PX * _strength(images, generator))
    smeared = smear(blurred, SMEAR_PX * _strength(images, generator), generator)
    lit = relight(smeared, generator)
    noise = torch.randn(images.shape, generator=generator, device=images.device)
    noisy = lit + NOISE * _strength(images, generator) * noise
    return compress(noisy.clamp(0, 1), COMPRESSION * _strength(images, generator)).clamp(0, 1)


def blur(images: Tensor, sigma_px: Tensor) -> Tensor:
    """Gaussian blur; at the border the weights inside the image are normalised.

    Args:
        images: (B, C, H, W).
        sigma_px: (B, 1, 1, 1), standard deviation.

    Returns:
        The blurred images.
    """
    height, width = images.shape[-2:]
    return _gaussian(height, sigma_px) @ images @ _gaussian(width, sigma_px).mT


def smear(images: Tensor, length_px: Tensor, generator: torch.Generator) -> Tensor:
    """Drag some images, ``SMEAR_SHARE`` of them, to one side: an exponential tail along rows or columns.

    Args:
        images: (B, C, H, W), as high as wide.
        length_px: (B, 1, 1, 1), mean length of the tail.
        generator: Decides which images, and in which of the four directions.

    Returns:
        The smeared images.
    """
    place = torch.arange(images.shape[-1], device=images.device)
    behind = (place[:, None] - place[None, :]).float()
    weights = torch.exp(-behind / length_px.clamp_min(1e-3)).masked_fill(behind < 0, 0)
    weights = weights / weights.sum(dim=-1, keepdim=True)
    chosen, flipped, turned = (
        torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device) < share
        for share in (SMEAR_SHARE, 0.5, 0.5)
    )
    weights = torch.where(flipped, weights.flip(-1).flip(-2), weights)
    down = torch.where(chosen & turned, weights, torch.eye(len(place), device=images.device))
    along = torch.where(chosen & ~turned, weights, torch.eye(len(place), device=images.device))
    return down @ images @ along.mT


def relight(images: Tensor, generator: torch.Generator) -> Tensor:
    """Other contrast around mid-grey and other brightness, the same for all three channels.

    Args:
        images: (B, C, H, W) in [0, 1].
        generator: Decides how much for each image.

    Returns:
        The images, possibly a little outside [0, 1].
    """
    gain = 1 + GAIN * (2 * _strength(images, generator) - 1)
    lift = LIFT * (2 * _strength(images, generator) - 1)
    return (images - 0.5) * gain + 0.5 + lift


def compress(images: Tensor, strength: Tensor) -> Tensor:
    """Round the cosine coefficients of 8 x 8 px blocks, the finer the coefficient the coarser the rounding.

    Args:
        images: (B, C, H, W) in [0, 1]; the border is repeated where a side is no multiple of 8.
        strength: (B, 1, 1, 1); the rounding step is strength * (10 + 7 (u + v)) / 255 for coefficient (u, v).

    Returns:
        The images with the marks of the compression.
    """
    height, width = images.shape[-2:]
    padded = functional.pad(images, (0, -width % BLOCK_PX, 0, -height % BLOCK_PX), mode="replicate")
    rows, columns = padded.shape[-2] // BLOCK_PX, padded.shape[-1] // BLOCK_PX
    down, along = (_block_transform(blocks).to(images.device) for blocks in (rows, columns))
    frequency = torch.arange(BLOCK_PX, device=images.device)
    step = ((10 + 7 * (frequency[:, None] + frequency[None, :])) / 255).repeat(rows, columns)
    step = (strength * step).clamp_min(1e-4)
    coefficients = (down @ (padded - 0.5) @ along.T / step).round() * step
    return (down.T @ coefficients @ along + 0.5)[..., :height, :width]


def _strength(images: Tensor, generator: torch.Generator) -> Tensor:
    """Uniform in [0, 1), one for each image: (B, 1, 1, 1)."""
    return torch.rand(len(images), 1, 1, 1, generator=generator, device=images.device)


def _gaussian(size: int, sigma_px: Tensor) -> Tensor:
    """(B, 1, size, size): row i holds the weights with which pixel i sees the others."""
    place = torch.arange(size, device=sigma_px.device)
    distance = (place[:, None] - place[None, :]).float()
    weights = torch.exp(-0.5 * (distance / sigma_px.clamp_min(1e-2)) ** 2)
    return weights / weights.sum(dim=-1, keepdim=True)


@cache
def _block_transform(num_blocks: int) -> Tensor:
    """The orthonormal DCT-II of each block of 8 in a row of blocks, (8 num_blocks, 8 num_blocks)."""
    k = torch.arange(BLOCK_PX)
    matrix = torch.cos(math.pi / BLOCK_PX * (k[None, :] + 0.5) * k[:, None]) * math.sqrt(2 / BLOCK_PX)
    matrix[0] /= math.sqrt(2)
    transform: Tensor = torch.block_diag(*[matrix] * num_blocks)
    return transform
