from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from selfe_eval.errors import UsageError
from selfe_eval.score.detectors.mask2former_input import MEAN, STD, ResizeRule, prepare
from selfe_eval.score.detectors.protocol import RgbImages


def _plain(height: int, width: int, color: tuple[int, int, int]) -> RgbImages:
    return RgbImages(pixels=np.full((1, height, width, 3), color, np.uint8))


def _noise(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, size=shape, dtype=np.uint8)


def _normalised(color: tuple[int, int, int]) -> torch.Tensor:
    return (torch.tensor(color) - torch.tensor(MEAN)) / torch.tensor(STD)


def test_a_square_image_becomes_800_px_without_padding() -> None:
    """800 is a multiple of 32, so nothing is added to a square image."""
    prepared = prepare(_plain(512, 512, (10, 20, 30)))
    assert prepared.pixels.shape == (1, 3, 800, 800)
    assert prepared.resized == (800, 800)
    assert prepared.original == (512, 512)
    assert torch.equal(prepared.pixels[0, :, 799, 799], _normalised((10, 20, 30)))


def test_another_shape_is_padded_right_and_below_with_grey_128() -> None:
    """1024 x 768 becomes 1067 x 800 and is padded to 1088 x 800 with 128, normalised like any pixel."""
    prepared = prepare(_plain(768, 1024, (10, 20, 30)))
    assert prepared.pixels.shape == (1, 3, 800, 1088)
    assert prepared.resized == (800, 1067)
    inside, padding = prepared.pixels[0, :, :, :1067], prepared.pixels[0, :, :, 1067:]
    assert torch.equal(inside, _normalised((10, 20, 30))[:, None, None].expand(3, 800, 1067))
    assert torch.equal(padding, _normalised((128, 128, 128))[:, None, None].expand(3, 800, 21))


def test_the_longer_side_ends_at_1333_px() -> None:
    """A panorama is limited by its longer side, and its shorter one is padded below."""
    prepared = prepare(_plain(300, 900, (0, 0, 0)))
    assert prepared.resized == (444, 1333)
    assert prepared.pixels.shape == (1, 3, 448, 1344)


def test_red_comes_first() -> None:
    """Channel 0 is red with red's mean and deviation: a swap of red and blue changes the input."""
    red = prepare(_plain(8, 8, (255, 0, 0))).pixels
    assert torch.equal(red[0, :, 0, 0], _normalised((255, 0, 0)))
    blue = prepare(_plain(8, 8, (0, 0, 255))).pixels
    assert not torch.allclose(red, blue, atol=1.0)


@pytest.mark.parametrize("size", [(1, 1), (1, 8), (8, 1), (2, 3), (7, 5), (8, 8)])
def test_tiny_images_are_enlarged_like_any_other(size: tuple[int, int]) -> None:
    """The smallest images become full-size inputs; one pixel stays one colour."""
    prepared = prepare(_plain(*size, (200, 100, 50)))
    height, width = prepared.resized
    assert max(height, width) == 1333 or min(height, width) == 800
    assert torch.equal(prepared.pixels[0, :, height - 1, width - 1], _normalised((200, 100, 50)))


def test_a_grey_image_stays_grey() -> None:
    """Equal channels differ after normalisation by the channels' mean and deviation alone."""
    grey = np.repeat(_noise(1, 40, 60, 1), 3, axis=-1)
    pixels = prepare(RgbImages(pixels=grey)).pixels
    levels = pixels * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]
    assert torch.allclose(levels[:, 0], levels[:, 1], atol=1e-4)
    assert torch.allclose(levels[:, 0], levels[:, 2], atol=1e-4)


def test_resized_pixels_are_whole_grey_levels() -> None:
    """The resize works on bytes, as the reference's does: no level between two integers comes out of it."""
    pixels = prepare(RgbImages(pixels=_noise(1, 37, 53, 3))).pixels
    levels = pixels * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]
    assert torch.allclose(levels, levels.round(), atol=1e-3)


def test_a_batch_is_prepared_like_its_images_alone() -> None:
    """Batching changes no bit of the input."""
    pixels = _noise(3, 20, 30, 3)
    together = prepare(RgbImages(pixels=pixels)).pixels
    alone = [prepare(RgbImages(pixels=pixels[index : index + 1])).pixels for index in range(3)]
    assert torch.equal(together, torch.cat(alone))


def test_another_rule_gives_another_size() -> None:
    """The two limits of the rule decide the size."""
    prepared = prepare(_plain(20, 30, (0, 0, 0)), rule=ResizeRule(short_px=64, long_px=107))
    assert prepared.resized == (64, 96)
    assert prepared.pixels.shape == (1, 3, 64, 96)


def test_an_image_of_which_nothing_would_be_left_is_refused() -> None:
    """A line of 4000 x 1 px would be resized to no height at all."""
    with pytest.raises(UsageError, match="4000 x 1 px are too narrow"):
        prepare(_plain(1, 4000, (0, 0, 0)))


def test_an_opencv_that_cannot_be_loaded_is_explained(tmp_path: Path) -> None:
    """Where OpenCV's system libraries are missing, the message says what to install."""
    (tmp_path / "cv2.py").write_text('raise ImportError("libGL.so.1: cannot open shared object file")\n')
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import numpy as np\n"
        "from selfe_eval.errors import UsageError\n"
        "from selfe_eval.score.detectors.mask2former_input import prepare\n"
        "from selfe_eval.score.detectors.protocol import RgbImages\n"
        "try:\n"
        "    prepare(RgbImages(pixels=np.zeros((1, 8, 8, 3), np.uint8)))\n"
        "except UsageError as error:\n"
        "    print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "libGL.so.1" in result.stdout
    assert "apt-get install libgl1 libglib2.0-0" in result.stdout
    assert "opencv-python-headless" in result.stdout
