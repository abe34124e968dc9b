"""Spoils training images as few-step generators, small autoencoders and image files do.

Most of a batch is spoilt, each image in its own way and strength; the rest stays clean, because rendered truth
must be judged right too. Everything is drawn from the given generator.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from selfe_eval.openmoji.corrupt import corrupt

CLEAN_SHARE = 0.3
"""Share of images that stay as they are."""
SOFT_SHARE = 0.4
"""Share of images that go through a coarse grid, as through an autoencoder."""


def spoil(images: Tensor, generator: torch.Generator) -> Tensor:
    """Spoil a batch.

    Args:
        images: (B, 3, H, W) float32 RGB in [0, 1].
        generator: Decides how, for each image.

    Returns:
        New images of the same shape and range.
    """
    choice = torch.rand(len(images), 1, 1, 1, generator=generator)
    spoilt = torch.where(choice < CLEAN_SHARE + SOFT_SHARE, soften(images, generator), images)
    return torch.where(choice < CLEAN_SHARE, images, corrupt(spoilt.clamp(0, 1), generator))


def soften(images: Tensor, generator: torch.Generator) -> Tensor:
    """Down to a coarser grid and back, mixed with the original: soft edges, smeared details."""
    height, width = images.shape[-2:]
    factor = float(torch.empty(()).uniform_(0.35, 0.8, generator=generator))
    small = functional.interpolate(
        images, size=(round(height * factor), round(width * factor)), mode="bilinear", antialias=True
    )
    back = functional.interpolate(small, size=(height, width), mode="bicubic", align_corners=False)
    weight = torch.rand(len(images), 1, 1, 1, generator=generator)
    return images + weight * (back - images)
