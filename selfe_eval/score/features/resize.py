"""Images to the side a network takes: three ways, which give three different metrics.

FID's own, TensorFlow 1's bilinear without antialiasing, takes 2 of 3.4 pixels of a 1024 px image and drops the rest;
clean-fid's and dgm-eval's are Pillow's bicubic with antialiasing. They differ in the filter, in rounding, and by more
than many a model differs from the next.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor


def tensorflow_bilinear(pixels: NDArray[np.uint8], side: int, device: torch.device) -> Tensor:
    """Bilinear without antialiasing on TensorFlow 1's grid, whose corners are those of the first pixels.

    Equals torch-fidelity's, which is TensorFlow's to the bit, and is faster: of a large image only the pixels that
    count are turned to float.

    Args:
        pixels: (B, H, W, 3) in [0, 255].
        side: Of the result, in pixels.
        device: Where it is computed and left; the pixels travel there as bytes.

    Returns:
        (B, 3, side, side) float32 in [0, 255], not rounded.
    """
    images = torch.from_numpy(pixels).to(device)
    top, bottom, down = _neighbours(images.shape[1], side, device)
    left, right, across = _neighbours(images.shape[2], side, device)
    rows, places = torch.unique(torch.cat([top, bottom]), return_inverse=True)
    images = images[:, rows]
    narrow = _between(images[:, :, left].float(), images[:, :, right].float(), across[:, None])
    upper, lower = narrow[:, places[:side]], narrow[:, places[side:]]
    return _between(upper, lower, down[:, None, None]).permute(0, 3, 1, 2).contiguous()


def clean_bicubic(pixels: NDArray[np.uint8], side: int) -> Tensor:
    """Pillow's bicubic with antialiasing, each channel in float; clipped where edges overshoot, not rounded.

    Source: clean-fid 0.1.35 (Parmar et al., CVPR 2022), mode ``clean``; its first versions did not clip.

    Args:
        pixels: (B, H, W, 3) in [0, 255].
        side: Of the result, in pixels.

    Returns:
        (B, 3, side, side) float32 in [0, 255].
    """
    resized = [
        [_resized(Image.fromarray(image[..., channel].astype(np.float32)), side) for channel in range(3)]
        for image in pixels
    ]
    return torch.from_numpy(np.array(resized)).clip(0, 255)


def rounded_bicubic(pixels: NDArray[np.uint8], side: int) -> Tensor:
    """Pillow's bicubic with antialiasing, in bytes: rounded and clipped as an image file would be.

    Source: dgm-eval (Stein et al., NeurIPS 2023), ``models/dinov2.py`` without ``clean_resize``.

    Args:
        pixels: (B, H, W, 3) in [0, 255].
        side: Of the result, in pixels.

    Returns:
        (B, 3, side, side) uint8.
    """
    resized = np.stack([_resized(Image.fromarray(image), side) for image in pixels])
    return torch.from_numpy(resized).permute(0, 3, 1, 2)


def _neighbours(length: int, side: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Of each new place along a side: (side,) the old place before it, the one after it, and the way between them."""
    places = torch.arange(side, dtype=torch.float32, device=device) * torch.tensor(length / side)
    before = places.long()
    return before, (before + 1).clamp_max(length - 1), places - before


def _between(one: Tensor, other: Tensor, way: Tensor) -> Tensor:
    """Not torch.lerp, which rounds otherwise beyond the middle."""
    return one + (other - one) * way


def _resized(image: Image.Image, side: int) -> NDArray[np.generic]:
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))
