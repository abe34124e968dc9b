"""From the bytes of a picture file to RGB pixels as people see them, or a reason why not.

JPEG, PNG, WebP and GIF only: Pillow's other readers include some that start programs. The orientation of EXIF is applied,
transparency lies on white, 16-bit grey keeps its upper 8 bits, an animation is its first frame. Color profiles are ignored.
"""

from __future__ import annotations

import io
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from selfe.data.pictures import BrokenPictureError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
"""What is read, by Pillow's names."""
SUFFIXES = ("jpg", "jpeg", "png", "webp", "gif")
"""How the names of such files end, in lower case."""
MAX_PIXELS = 64 << 20
"""Larger pictures are refused before they are unpacked (8192 x 8192)."""
EMPTY = "it is empty (0 bytes)"
"""What is said of an empty file."""


def picture_size(file: BinaryIO, name: str) -> tuple[int, int]:
    """Width and height in pixels, upright, from the header alone.

    Raises:
        BrokenPictureError: the file is empty, there is no such header, or the picture is too large.
    """
    if not file.read(1):
        raise BrokenPictureError(f"{name}: {EMPTY}")
    file.seek(0)
    try:
        with Image.open(file, formats=FORMATS) as image:
            _refuse_bomb(image)
            # Asking a PNG without EXIF for it would unpack the whole picture.
            exif = image.getexif() if "exif" in image.info else {}
            width, height = image.size
            lies = exif.get(ExifTags.Base.Orientation, 1) in {5, 6, 7, 8}
            return (height, width) if lies else (width, height)
    except Exception as error:  # Pillow promises no list of what a damaged file may raise
        raise BrokenPictureError(f"{name}: {_reason(error)}") from error


def decode(content: bytes, name: str) -> NDArray[np.uint8]:
    """Pixels of a picture file, (H, W, 3) uint8, RGB.

    Raises:
        BrokenPictureError: it is empty, cut off, damaged, too large or no picture.
    """
    if not content:
        raise BrokenPictureError(f"{name}: {EMPTY}")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _refuse_bomb(image)
            return _rgb(ImageOps.exif_transpose(image))
    except Exception as error:  # see picture_size
        raise BrokenPictureError(f"{name}: {_reason(error)}") from error


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):
        grey = np.clip(np.asarray(image).astype(np.int32) >> 8, 0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"), dtype=np.uint8)


def _refuse_bomb(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise Image.DecompressionBombError(f"{width} x {height} is more than {MAX_PIXELS} pixels")


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"it is none of {', '.join(FORMATS)}"
    return f"it cannot be read as a picture ({type(error).__name__}: {error})"
