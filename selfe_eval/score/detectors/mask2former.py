"""The official detector around a network: preparation, batches, exact float32 and post-processing.

Which library runs the network (mmdet or transformers) is the caller's choice; everything else is here, so the two
backends cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from selfe_eval.errors import UsageError
from selfe_eval.score.detectors.mask2former_decode import decode
from selfe_eval.score.detectors.mask2former_input import OFFICIAL_RESIZE, ResizeRule, opencv, prepare
from selfe_eval.score.detectors.protocol import Detections, RgbImages, Thresholds
from selfe_eval.score.exact_float32 import exact_float32

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
        self._at_once = CPU_BATCH if self._device.type == "cpu" else GPU_BATCH

    def detect(self, images: RgbImages, *, floor: float = 0.0) -> list[Detections]:
        """Find objects in images of any size.

        Args:
            images: B images.
            floor: Detections that score at most this much are left out.

        Raises:
            UsageError: The images are too narrow, OpenCV cannot be loaded, or one image is too much for the device.
        """
        found: list[Detections] = []
        while len(found) < len(images):
            batch = RgbImages(pixels=images.pixels[len(found) : len(found) + self._at_once])
            try:
                found += self._detect_batch(batch, floor)
            except torch.OutOfMemoryError as error:
                self._take_fewer(batch, error)
        return found

    def describe(self) -> dict[str, Any]:
        """The backend's record (weights hash, versions), thresholds, device and torch version."""
        return {
            "detector": self.name,
            **self._record,
            "opencv": str(opencv().__version__),
            "thresholds": asdict(self.thresholds),
            "device": str(self._device),
            "torch": str(torch.__version__),
        }

    def _take_fewer(self, batch: RgbImages, error: torch.OutOfMemoryError) -> None:
        """Halve the batch from here on; rounding aside, it changes no score."""
        if len(batch) == 1:
            height, width = batch.pixels.shape[1:3]
            raise UsageError(
                f"The memory of {self._device} does not hold the detector and one image of {width} x {height} px. "
                "Free it of other programs, or use --device cpu; scores written so far are kept."
            ) from error
        self._at_once = len(batch) // 2
        torch.cuda.empty_cache()

    @torch.inference_mode()
    def _detect_batch(self, images: RgbImages, floor: float) -> list[Detections]:
        prepared = prepare(images, self._device, rule=self._resize)
        with exact_float32():
            class_logits, mask_logits = self._network(prepared.pixels)
        return decode(class_logits, mask_logits, prepared, floor=floor)
