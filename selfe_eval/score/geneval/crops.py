"""The picture of one object as GenEval's colour classifier sees it: grey outside the mask, cut to the box.

Source: djghosh13/geneval at af4902f, ``evaluation/evaluate_images.py``, ``ImageCrops`` (MIT).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from selfe_eval.score.geneval.relation import Box

GREY = 153
"""Value of all three channels outside the mask (the reference's ``#999``)."""


def masked_crop(pixels: NDArray[np.uint8], mask: NDArray[np.bool_], box: Box) -> NDArray[np.uint8]:
    """Cut one object out of an image.

    Args:
        pixels: The image, RGB, (height, width, 3).
        mask: The object's visible pixels, (height, width).
        box: (x0, y0, x1, y1) in pixels, right and bottom exclusive; rounded to whole pixels as Pillow does.

    Returns:
        A new array (y1 - y0, x1 - x0, 3).

    Raises:
        ValueError: The shapes disagree, or the box is empty or leaves the image.
    """
    height, width = mask.shape
    if pixels.shape != (height, width, 3):
        raise ValueError(
            f"expected an RGB image of shape {(height, width, 3)} for this mask, got {pixels.shape}"
        )
    x0, y0, x1, y1 = (round(edge) for edge in box)
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise ValueError(f"expected a box of at least one pixel inside {width} x {height}, got {box}")
    inside = mask[y0:y1, x0:x1, np.newaxis]
    return np.where(inside, pixels[y0:y1, x0:x1], np.uint8(GREY))
