from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from selfe_eval.errors import UsageError
from selfe_eval.score.detectors.protocol import RgbImages
from selfe_eval.score.features.network_extractor import CPU_BATCH, NetworkExtractor
from selfe_eval.score.features.protocol import extractor_id

WIDTH = 5


class _Network(nn.Module):
    """A convolution, a nonlinearity and a mean; notes how many images come at once, and bears no more than told."""

    def __init__(self, bears: int = 1000) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = nn.Conv2d(3, WIDTH, 3)
        self.bears = bears
        self.seen: list[int] = []

    def forward(self, pixels: Tensor) -> Tensor:
        if len(pixels) > self.bears:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        self.seen.append(len(pixels))
        features: Tensor = self.convolution(pixels).relu().mean(dim=(2, 3))
        return features


def _prepare(pixels: NDArray[np.uint8], device: torch.device) -> Tensor:
    return torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 255


def _extractor(network: nn.Module, device: str = "cpu", **record: Any) -> NetworkExtractor:
    return NetworkExtractor("small", network, width=WIDTH, prepare=_prepare, device=device, record=record)


def _images(number: int) -> RgbImages:
    pixels = np.random.default_rng(number).integers(0, 256, (number, 9, 7, 3), dtype=np.uint8)
    return RgbImages(pixels=pixels)


def test_it_does_not_matter_which_images_come_together() -> None:
    """Two batches and a half give each image, in order, the vector that it has alone."""
    images = _images(2 * CPU_BATCH + 3)
    extractor = _extractor(_Network())
    together = extractor.extract(images)
    alone = [extractor.extract(RgbImages(pixels=images.pixels[[index]])) for index in range(len(images))]
    assert together.dtype == np.float32
    assert np.allclose(together, np.concatenate(alone), rtol=1e-6, atol=1e-7)
    assert len(np.unique(together, axis=0)) == len(images)


def test_memory_is_bounded_by_the_batch() -> None:
    """However many images are handed over, the network sees a few at a time."""
    network = _Network()
    assert _extractor(network).extract(_images(CPU_BATCH + 1)).shape == (CPU_BATCH + 1, WIDTH)
    assert network.seen == [CPU_BATCH, 1]


def test_no_images_have_no_vectors() -> None:
    """An empty batch is an empty array of the right width."""
    assert _extractor(_Network()).extract(RgbImages(pixels=np.zeros((0, 9, 7, 3), np.uint8))).shape == (
        0,
        WIDTH,
    )


def test_a_full_device_is_given_less_at_once() -> None:
    """Batches are halved until they fit, for good, and the vectors stay what they were."""
    images, network = _images(CPU_BATCH + 3), _Network(bears=3)
    features = _extractor(network).extract(images)
    assert max(network.seen) == 2
    assert np.allclose(features, _extractor(_Network()).extract(images), rtol=1e-6, atol=1e-7)


def test_a_device_too_small_for_one_image_is_an_error() -> None:
    """Where nothing is left to halve, the message names the image's size and a way out."""
    with pytest.raises(UsageError, match=r"one image of 7 x 9 px.*--device cpu"):
        _extractor(_Network(bears=0)).extract(_images(2))


def test_the_machine_is_not_part_of_the_identity() -> None:
    """Another device is the same extractor; other weights or another resize are another one."""
    ours, elsewhere = (
        extractor_id(_extractor(_Network(), device, weights_sha256="a")) for device in ("cpu", "cpu:0")
    )
    assert ours == elsewhere
    others = {
        extractor_id(_extractor(_Network(), weights_sha256="b")),
        extractor_id(_extractor(_Network(), resize="c")),
    }
    assert len({ours, *others}) == 3


def test_features_carry_no_gradient_and_training_is_over() -> None:
    """The network is left in evaluation mode, with nothing to train."""
    network = _Network().train()
    _extractor(network)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
