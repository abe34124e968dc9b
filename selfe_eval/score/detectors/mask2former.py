"""The official detector around a network: preparation, batches, exact float32 and post-processing.

Which library runs the network (mmdet or transformers) is the caller's choice; everything else is here, so the two
backends cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from selfe_eval.score.detectors.mask2former_decode import decode
from selfe_eval.score.detectors.mask2former_input import OFFICIAL_RESIZE, ResizeRule, prepare
from selfe_eval.score.detectors.protocol import Detections, RgbImages, Thresholds

OFFICIAL_THRESHOLDS = Thresholds(confidence=0.3, counting=0.9, max_objects=16)
"""Source: djghosh13/geneval at af4902f, ``evaluation/evaluate_images.py``."""
CPU_BATCH = 1
GPU_BATCH = 8
SCORED_TOGETHER = 16
"""Images between two writes of scores: a minute or two on a CPU."""

Network = Callable[[Tensor], tuple[Tensor, Tensor]]
"""(B, 3, H, W) normalised pixels -> class logits (B, Q, 81) and mask logits (B, Q, H/4, W/4)."""


class Mask2FormerDetector:
    """A Mask2Former for the 80 COCO classes under the reference's rules; see ``Detector`` for the methods."""

    def __init__(
        self,
        name: str,
        network: Network,
        *,
        device: str,
        record: dict[str, Any],
        resize: ResizeRule = OFFICIAL_RESIZE,
    ) -> None:
        self.name = name
        self.batch_size = SCORED_TOGETHER
        self.thresholds = OFFICIAL_THRESHOLDS
        self._network = network
        self._device = torch.device(device)
        self._record = record
        self._resize = resize

    def detect(self, images: RgbImages, *, floor: float = 0.0) -> list[Detections]:
        """Find objects in images of any size.

        Args:
            images: B images.
            floor: Detections that score at most this much are left out.

        Raises:
            UsageError: The images are too narrow, or OpenCV cannot be loaded.
        """
        size = CPU_BATCH if self._device.type == "cpu" else GPU_BATCH
        found: list[Detections] = []
        for start in range(0, len(images), size):
            found += self._detect_batch(RgbImages(pixels=images.pixels[start : start + size]), floor)
        return found

    def describe(self) -> dict[str, Any]:
        """The backend's record (weights hash, versions), thresholds, device and torch version."""
        return {
            "detector": self.name,
            **self._record,
            "thresholds": {
                "confidence": self.thresholds.confidence,
                "counting": self.thresholds.counting,
                "max_objects": self.thresholds.max_objects,
            },
            "device": str(self._device),
            "torch": str(torch.__version__),
        }

    @torch.inference_mode()
    def _detect_batch(self, images: RgbImages, floor: float) -> list[Detections]:
        prepared = prepare(images, self._device, rule=self._resize)
        with _exact_float32():
            class_logits, mask_logits = self._network(prepared.pixels)
        return decode(class_logits, mask_logits, prepared, floor=floor)


@contextmanager
def _exact_float32() -> Iterator[None]:
    """No TensorFloat-32 inside: GPUs would round products to 10 bits, which the reference did not."""
    cudnn: Any = torch.backends.cudnn
    matmul, convolution = torch.backends.cuda.matmul, cudnn.conv
    before = matmul.fp32_precision, convolution.fp32_precision
    matmul.fp32_precision = convolution.fp32_precision = "ieee"
    try:
        yield
    finally:
        matmul.fp32_precision, convolution.fp32_precision = before
