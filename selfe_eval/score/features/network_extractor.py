"""An extractor around a network: batches of bounded size, exact float32, no gradients.

Which network, and what it sees of an image, is the caller's; everything else is here, once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from selfe_eval.errors import UsageError
from selfe_eval.score.detectors.protocol import RgbImages
from selfe_eval.score.exact_float32 import exact_float32

CPU_BATCH = 8
GPU_BATCH = 64

Prepare = Callable[[NDArray[np.uint8], torch.device], Tensor]
"""(B, H, W, 3) pixels in [0, 255] -> what the network takes, on the device."""


class NetworkExtractor:
    """A network behind a resize; see ``Extractor`` for the methods."""

    def __init__(
        self,
        name: str,
        network: nn.Module,
        *,
        width: int,
        prepare: Prepare,
        device: str,
        record: dict[str, Any],
        cpu_batch: int = CPU_BATCH,
    ) -> None:
        self.name = name
        self.width = width
        self._device = torch.device(device)
        self._network = network.to(self._device).eval().requires_grad_(requires_grad=False)
        self._prepare = prepare
        self._record = record
        self._at_once = cpu_batch if self._device.type == "cpu" else GPU_BATCH

    def extract(self, images: RgbImages) -> NDArray[np.float32]:
        """The vectors of B images of one size, (B, d).

        Raises:
            UsageError: one image is too much for the device's memory.
        """
        features = np.zeros((len(images), self.width), dtype=np.float32)
        start = 0
        while start < len(images):
            batch = images.pixels[start : start + self._at_once]
            try:
                features[start : start + len(batch)] = self._extract_batch(batch)
            except torch.OutOfMemoryError as error:
                self._take_fewer(batch, error)
            else:
                start += len(batch)
        return features

    def describe(self) -> dict[str, Any]:
        """The network's record, and the machine."""
        return {
            "extractor": self.name,
            **self._record,
            "device": str(self._device),
            "torch": str(torch.__version__),
        }

    @torch.inference_mode()
    def _extract_batch(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        with exact_float32():
            features: Tensor = self._network(self._prepare(pixels, self._device))
        return features.float().cpu().numpy()

    def _take_fewer(self, batch: NDArray[np.uint8], error: torch.OutOfMemoryError) -> None:
        """Halve the batch from here on; rounding aside, it changes no vector."""
        if len(batch) == 1:
            height, width = batch.shape[1:3]
            raise UsageError(
                f"The memory of {self._device} does not hold the extractor {self.name} and one image of {width} x "
                f"{height} px. Free it of other programs, or use --device cpu; features written so far are kept."
            ) from error
        self._at_once = len(batch) // 2
        torch.cuda.empty_cache()
