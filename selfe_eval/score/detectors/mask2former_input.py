"""What the official detector sees of an image: resized, padded with grey, normalised; the same for every backend.

Not mmdet's own pipeline: the 3.x configuration resizes in float and pads with zeros after normalising, while the
reference (mmdet 2.27 and later) resizes bytes and pads with grey 128 before it. Only square images hide the difference.

Source: djghosh13/geneval at af4902f calls mmdet 2.x with ``mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco``; the steps
are those of its test pipeline.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from selfe_eval.errors import UsageError
from selfe_eval.score.detectors.protocol import RgbImages

PAD_VALUE = 128
PAD_MULTIPLE = 32
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
"""Of ImageNet, in the order red, green, blue, for values in [0, 255]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResizeRule:
    """Images are enlarged or shrunk, shape kept, until one of the two limits is met."""

    short_px: int = 800
    """At most so long is the shorter side."""
    long_px: int = 1333
    """At most so long is the longer side."""

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The resized (height, width) in pixels.

        >>> ResizeRule().size(768, 1024)
        (800, 1067)
        """
        scale = min(self.long_px / max(height, width), self.short_px / min(height, width))
        return int(height * scale + 0.5), int(width * scale + 0.5)


OFFICIAL_RESIZE = ResizeRule()


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedImages:
    """A batch for the network, and the sizes that lead back to the images' own pixels."""

    pixels: Tensor
    """(B, 3, H, W) float32, normalised; H and W are multiples of 32."""
    resized: tuple[int, int]
    """Height and width without the padding, which lies right and below."""
    original: tuple[int, int]
    """Height and width of the images as they came."""


def prepare(
    images: RgbImages, device: str | torch.device = "cpu", *, rule: ResizeRule = OFFICIAL_RESIZE
) -> PreparedImages:
    """Resize, pad and normalise a batch as the reference does.

    Args:
        images: B images of one size.
        device: Where the batch is normalised and left; it travels there as bytes.
        rule: How large the resized images are.

    Raises:
        UsageError: The images are so narrow that nothing is left of them, or OpenCV cannot be loaded.
    """
    original_height, original_width = images.pixels.shape[1:3]
    height, width = rule.size(original_height, original_width)
    if min(height, width) == 0:
        raise UsageError(
            f"Images of {original_width} x {original_height} px are too narrow for the official detector: resized "
            f"to at most {rule.long_px} px nothing is left of them. Crop them, or leave them out."
        )
    cv2 = opencv()
    padded = np.full((len(images), _padded(height), _padded(width), 3), PAD_VALUE, np.uint8)
    for canvas, pixels in zip(padded, images.pixels, strict=True):
        canvas[:height, :width] = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    return PreparedImages(
        pixels=_normalise(padded, device),
        resized=(height, width),
        original=(original_height, original_width),
    )


def _padded(side: int) -> int:
    return -(-side // PAD_MULTIPLE) * PAD_MULTIPLE


def _normalise(pixels: NDArray[np.uint8], device: str | torch.device) -> Tensor:
    """(B, H, W, 3) bytes in RGB -> (B, 3, H, W) float32."""
    channels_first = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float().contiguous()
    mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (MEAN, STD))
    return channels_first.sub_(mean).div_(std)


def opencv() -> ModuleType:
    """OpenCV, whose bilinear resize of bytes rounds in its own way: no other library gives these pixels.

    Raises:
        UsageError: It cannot be loaded.
    """
    try:
        import cv2
    except ImportError as error:
        raise UsageError(
            f"The official detector resizes images with OpenCV, which cannot be loaded here: {error}. If a system "
            "library is missing, run `apt-get install libgl1 libglib2.0-0`; without root, replace opencv-python by "
            "opencv-python-headless of the same version."
        ) from error
    return cv2
