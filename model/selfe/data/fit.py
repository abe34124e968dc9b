"""From a picture of any size to the pixels of a bucket."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from selfe.buckets import Bucket


def fit(picture: NDArray[np.uint8], bucket: Bucket) -> NDArray[np.uint8]:
    """Resize a picture so that it covers the bucket, and keep the middle: (H, W, 3) uint8 -> (3, height, width) uint8.

    Bicubic with antialiasing (Pillow's, whose support grows as the picture shrinks), in one pass from the part that is kept.
    A picture smaller than the bucket is enlarged.
    """
    height, width = picture.shape[:2]
    scale = max(bucket.height_px / height, bucket.width_px / width)
    left = (width - bucket.width_px / scale) / 2
    top = (height - bucket.height_px / scale) / 2
    box = (max(0.0, left), max(0.0, top), min(width, width - left), min(height, height - top))
    size = (bucket.width_px, bucket.height_px)
    resized = Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC, box=box)
    return np.ascontiguousarray(np.asarray(resized).transpose(2, 0, 1))
