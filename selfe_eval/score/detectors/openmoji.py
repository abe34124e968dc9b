"""The bundled detector: finds the 80 GenEval classes in 64 px scenes of the openmoji world, and nothing else.

It is a ruler for the bundled models, trained by ``selfe-eval train openmoji-detector`` and checked by
``selfe-eval calibrate``. It is not a detector for photographs: images of another size are refused.
"""

from __future__ import annotations

import copy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from selfe_eval.errors import UsageError
from selfe_eval.resources import checkpoints_dir
from selfe_eval.score.detectors.openmoji_decode import decode
from selfe_eval.score.detectors.openmoji_network import IMAGE_PX, NetworkOptions, OpenmojiNetwork
from selfe_eval.score.detectors.protocol import Detections, RgbImages, Thresholds
from selfe_eval.score.judge_weights import read_weights

FORMAT = "selfe-eval-detector/1"
OWN_DETECTOR = "own-detector"
"""The variant of a score by other weights than the bundled ones."""
BATCH_SIZE = 64


class OpenmojiDetector:
    """The network with its weights and its own thresholds; see ``Detector`` for the methods."""

    name = "openmoji"
    batch_size = BATCH_SIZE

    def __init__(
        self,
        network: OpenmojiNetwork,
        thresholds: Thresholds,
        *,
        device: str = "cpu",
        record: dict[str, Any] | None = None,
    ) -> None:
        self.thresholds = thresholds
        self._device = torch.device(device)
        fused = _fuse(copy.deepcopy(network).eval())
        self._network = fused.to(self._device).to(memory_format=torch.channels_last)
        self._record = record or {}

    @classmethod
    def from_folder(cls, folder: Path, device: str = "cpu") -> OpenmojiDetector:
        """Load a checkpoint folder (``config.json`` and ``model.safetensors``).

        Raises:
            UsageError: The folder is missing, or its files are not what ``config.json`` says.
        """
        weights = read_weights(folder, expected_format=FORMAT)
        try:
            network = OpenmojiNetwork(NetworkOptions(**weights.config["network"]))
            thresholds = Thresholds(**weights.config["thresholds"])
            record = {"weights_sha256": weights.sha256, "name": weights.config["name"]}
        except (KeyError, TypeError) as error:
            raise UsageError(
                f"The config.json in {folder} does not describe a detector: {type(error).__name__} {error}. Expected "
                "name, network and thresholds, as `selfe-eval train openmoji-detector` writes them."
            ) from error
        weights.load_into(network)
        if folder.resolve() != _bundled_folder().resolve():
            record["variant"] = OWN_DETECTOR
        return cls(network, thresholds, device=device, record=record)

    def detect(self, images: RgbImages, *, floor: float = 0.0) -> list[Detections]:
        """Find objects in 64 x 64 images.

        Args:
            images: B images.
            floor: Detections that score at most this much are left out.

        Raises:
            UsageError: The images have another size.
        """
        height, width = images.pixels.shape[1:3]
        if (height, width) != (IMAGE_PX, IMAGE_PX):
            raise UsageError(
                f"The openmoji detector judges {IMAGE_PX} x {IMAGE_PX} px scenes; these images are "
                f"{width} x {height} px. Score photographs with another --detector."
            )
        found: list[Detections] = []
        for start in range(0, len(images), BATCH_SIZE):
            found += self._detect_batch(images.pixels[start : start + BATCH_SIZE])
        return [_above(floor, detections) for detections in found]

    def describe(self) -> dict[str, Any]:
        """Weights hash, thresholds, device and versions."""
        return {
            "detector": self.name,
            **self._record,
            "thresholds": asdict(self.thresholds),
            "device": str(self._device),
            "torch": str(torch.__version__),
        }

    @torch.inference_mode()
    def _detect_batch(self, pixels: NDArray[np.uint8]) -> list[Detections]:
        images = torch.from_numpy(np.ascontiguousarray(pixels)).to(self._device).permute(0, 3, 1, 2)
        return decode(self._network(images.contiguous(memory_format=torch.channels_last).float() / 255))


def load(device: str = "cpu", weights: Path | None = None, config: Path | None = None) -> OpenmojiDetector:
    """Load the bundled weights, or another folder of the same form.

    Raises:
        UsageError: The folder is missing or damaged, or a configuration file was given.
    """
    if config is not None:
        raise UsageError(
            f"The openmoji detector takes no configuration file, and {config} was given. Leave it out; a detector "
            "of your own is --detector mmdet with --detector-config and --detector-weights."
        )
    return OpenmojiDetector.from_folder(weights or _bundled_folder(), device)


def _bundled_folder() -> Path:
    return checkpoints_dir() / "openmoji-detector"


def _above(floor: float, found: Detections) -> Detections:
    kept = found.scores > floor
    return Detections(
        class_index=found.class_index[kept],
        boxes=found.boxes[kept],
        scores=found.scores[kept],
        masks=found.masks[kept],
    )


def _fuse(network: OpenmojiNetwork) -> OpenmojiNetwork:
    """Fold every batch norm into the convolution before it: the same function, fewer passes over memory."""
    for module in network.modules():
        if isinstance(module, nn.Sequential):
            for index in range(len(module) - 1):
                convolution, norm = module[index], module[index + 1]
                if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    module[index] = nn.utils.fusion.fuse_conv_bn_eval(convolution, norm)
                    module[index + 1] = nn.Identity()
    return network
