"""From the bytes of an image file to the pixels that GenEval's reference sees.

The reference (djghosh13/geneval at af4902f) decodes twice: mmdet reads the file with OpenCV for the detector, and
Pillow for the colours. Both turn the image as its EXIF orientation says, drop transparency without blending (a
transparent red is red), spread grey and palettes over three channels and keep the upper 8 of 16 bits. Pillow alone
would clip 16-bit grey to white and leave the orientation to the caller.
"""

from __future__ import annotations

import io
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

UNREADABLE = (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError)
"""What Pillow raises for a file that is no image, a damaged one, or one too large to be meant."""


def decode_rgb(content: bytes) -> NDArray[np.uint8]:
    """Pixels of an image file, (H, W, 3) uint8 in [0, 255], channels red, green, blue.

    Raises:
        OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError: it cannot be read as an image
            (``UNREADABLE``).
    """
    with Image.open(io.BytesIO(content)) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I"):
            grey = (np.asarray(image) >> 8).astype(np.uint8)
            return np.repeat(grey[:, :, None], 3, axis=2)
        return np.asarray(image.convert("RGB"), dtype=np.uint8)
