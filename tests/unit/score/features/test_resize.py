from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

from selfe_eval.score.features.resize import clean_bicubic, rounded_bicubic, tensorflow_bilinear

CPU = torch.device("cpu")


def _noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)


def _all(pixels: NDArray[np.uint8], side: int) -> list[Tensor]:
    return [
        tensorflow_bilinear(pixels, side, CPU),
        clean_bicubic(pixels, side),
        rounded_bicubic(pixels, side).float(),
    ]


def test_tensorflow_keeps_one_pixel_of_two() -> None:
    """Halving an image the way of FID takes every second pixel and never sees the others."""
    pixels = _noise(8, 8)
    halved = tensorflow_bilinear(pixels, 4, CPU)
    assert np.array_equal(halved.permute(0, 2, 3, 1).numpy(), pixels[:, ::2, ::2].astype(np.float32))


def test_tensorflow_interpolates_from_the_corner() -> None:
    """Enlarged, pixel i shows the place i / 2 of the old grid: half way between neighbours, and the last one again."""
    row = np.array([0, 100, 40], np.uint8)
    pixels = np.tile(row[None, None, :, None], (1, 3, 1, 3))
    assert tensorflow_bilinear(pixels, 6, CPU)[0, 0, 0].tolist() == [0, 50, 100, 70, 40, 40]


@pytest.mark.parametrize("shape", [(1, 1), (7, 299), (64, 48), (300, 299), (600, 598), (1024, 700)])
def test_tensorflows_pixels_are_torch_fidelitys_bit_for_bit(shape: tuple[int, int]) -> None:
    """Smaller or larger, square or not, every pixel is the same float."""
    pixels = _noise(*shape)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    theirs = interpolate_bilinear_2d_like_tensorflow1x(images, size=(299, 299), align_corners=False)
    assert torch.equal(tensorflow_bilinear(pixels, 299, CPU), theirs)


def test_antialiasing_sees_every_pixel() -> None:
    """A checkerboard of single pixels turns grey, where FID's own resize shows one of its two colors."""
    pixels = np.zeros((1, 64, 64, 3), np.uint8)
    pixels[:, ::2, ::2] = pixels[:, 1::2, 1::2] = 255
    tensorflow, clean, rounded = (image[..., 2:-2, 2:-2] for image in _all(pixels, 32))
    assert tensorflow.unique().tolist() == [255]
    assert (clean - 127.5).abs().max() < 10
    assert (rounded - 127.5).abs().max() < 10


def test_clean_pixels_are_clipped_and_not_rounded() -> None:
    """At an edge from black to white the filter overshoots both, and clean-fid cuts that off; fractions stay."""
    pixels = np.zeros((1, 40, 40, 3), np.uint8)
    pixels[:, :, 20:] = 255
    clean, rounded = clean_bicubic(pixels, 24), rounded_bicubic(pixels, 24)
    assert clean.min() == 0
    assert clean.max() == 255
    assert (clean != clean.round()).any()
    assert rounded.dtype == torch.uint8


def test_bytes_are_the_clean_pixels_rounded() -> None:
    """Both filters are the same one: Pillow rounds twice, after each direction, so bytes are one level off at most."""
    pixels = _noise(50, 70)
    difference = clean_bicubic(pixels, 24) - rounded_bicubic(pixels, 24).float()
    assert difference.abs().max() < 1.5


@pytest.mark.parametrize("shape", [(10, 10), (24, 24), (90, 30)])
def test_colors_stay_in_their_channels(shape: tuple[int, int]) -> None:
    """A plain image of one color is that color at any size, channels in order, first in the batch first."""
    pixels = np.empty((2, *shape, 3), np.uint8)
    pixels[0], pixels[1] = (250, 120, 3), (7, 77, 177)
    for resized in _all(pixels, 24):
        expected = torch.from_numpy(pixels[:, 0, 0]).float()[:, :, None, None].expand(2, 3, 24, 24)
        assert resized.shape == (2, 3, 24, 24)
        assert torch.allclose(resized, expected, atol=1e-3)
