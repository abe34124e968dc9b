from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from selfe_eval.errors import UsageError
from selfe_eval.score.detectors import mask2former
from selfe_eval.score.detectors.mask2former import Mask2FormerDetector
from selfe_eval.score.detectors.mask2former_input import ResizeRule
from selfe_eval.score.detectors.protocol import RgbImages, Thresholds
from selfe_eval.score.exact_float32 import exact_float32

STOP_SIGN = 11


class RedFinder:
    """A network with a known answer: its first query is a stop sign wherever red exceeds blue."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        assert not torch.is_grad_enabled()
        self.batches.append(len(pixels))
        classes = torch.zeros(len(pixels), 2, 81)
        classes[:, 0, STOP_SIGN] = 20.0
        classes[:, 1, 80] = 20.0
        redness = functional.avg_pool2d(pixels[:, :1] - pixels[:, 2:], 4) * 10
        return classes, torch.cat([redness, -redness], dim=1)


def _detector(network: RedFinder) -> Mask2FormerDetector:
    return Mask2FormerDetector(
        "fake",
        network,
        device="cpu",
        record={"weights_sha256": "0" * 64},
        resize=ResizeRule(short_px=64, long_px=107),
    )


def _red_left(num_images: int = 1) -> RgbImages:
    """64 x 64 px: the left half red, the right half blue."""
    pixels = np.zeros((num_images, 64, 64, 3), np.uint8)
    pixels[:, :, :32, 0] = 255
    pixels[:, :, 32:, 2] = 255
    return RgbImages(pixels=pixels)


def test_what_the_network_marks_is_found() -> None:
    """Box, mask, class and score are those of the marked half."""
    (found,) = _detector(RedFinder()).detect(_red_left(), floor=0.5)
    assert found.class_index.tolist() == [STOP_SIGN]
    assert found.boxes.tolist() == [[0, 0, 32, 64]]
    assert found.masks.sum() == 32 * 64
    assert found.scores[0] > 0.9


def test_red_and_blue_are_not_swapped() -> None:
    """The same images in BGR order give the other half: the test above fails with a swap anywhere on the way."""
    swapped = RgbImages(pixels=_red_left().pixels[..., ::-1].copy())
    (found,) = _detector(RedFinder()).detect(swapped, floor=0.5)
    assert found.boxes.tolist() == [[32, 0, 64, 64]]


def test_images_come_back_in_order_and_in_small_batches() -> None:
    """On a CPU images go through one at a time, and each gets its own detections."""
    network = RedFinder()
    images = _red_left(3)
    images.pixels[1] = images.pixels[1, :, ::-1]
    found = _detector(network).detect(images, floor=0.5)
    assert network.batches == [1, 1, 1]
    assert [int(item.boxes[0, 0]) for item in found] == [0, 32, 0]


class Cramped(RedFinder):
    """Has memory for two images at a time, or for none."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room

    def __call__(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        if len(pixels) > self._room:
            raise torch.OutOfMemoryError(f"{len(pixels)} images")
        return super().__call__(pixels)


def test_a_device_too_small_for_the_batch_gets_smaller_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory runs out the batch is halved, once and for all, and every image keeps its own detections."""
    monkeypatch.setattr(mask2former, "CPU_BATCH", 8)
    network = Cramped(room=2)
    images = _red_left(7)
    images.pixels[1] = images.pixels[1, :, ::-1]
    found = _detector(network).detect(images, floor=0.5)
    assert network.batches == [1] * 7  # 7 do not fit, 3 do not, 1 does
    assert [int(item.boxes[0, 0]) for item in found] == [0, 32, 0, 0, 0, 0, 0]


def test_a_device_too_small_for_one_image_is_told() -> None:
    """Memory that does not hold one image is an error that says how large the image is and what to do."""
    with pytest.raises(UsageError, match=r"64 x 64 px.*--device cpu"):
        _detector(Cramped(room=0)).detect(_red_left())


def test_no_images_give_no_detections() -> None:
    """An empty batch is no error."""
    assert _detector(RedFinder()).detect(_red_left(0)) == []


def test_the_official_thresholds_count() -> None:
    """0.3, for counting 0.9, and at most 16 of a class (djghosh13/geneval at af4902f, evaluate_images.py)."""
    assert _detector(RedFinder()).thresholds == Thresholds(confidence=0.3, counting=0.9, max_objects=16)


def test_a_description_is_json_and_says_what_counts() -> None:
    """Name, record, thresholds, device and torch version go into the result as plain JSON."""
    described = _detector(RedFinder()).describe()
    assert json.loads(json.dumps(described)) == described
    assert described["detector"] == "fake"
    assert described["weights_sha256"] == "0" * 64
    assert described["thresholds"] == {"confidence": 0.3, "counting": 0.9, "max_objects": 16}
    assert described["device"] == "cpu"
    assert described["torch"] == torch.__version__


def test_products_are_not_rounded_to_tensor_float() -> None:
    """Within a detection float32 means float32 on GPUs too, whatever the caller chose; afterwards it is as before."""
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    try:
        matmul.fp32_precision = "tf32"
        with exact_float32():
            assert matmul.fp32_precision == "ieee"
        assert matmul.fp32_precision == "tf32"
    finally:
        matmul.fp32_precision = before
