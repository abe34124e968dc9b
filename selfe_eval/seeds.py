"""Noise belongs to the image: its seed follows from run seed, prompt and image index, and nothing else.

The step count is left out on purpose. The same prompt and image index start from the same noise at every step
count and for every model, whatever the batch size, the order or the number of devices, so comparisons are
paired.
"""

from __future__ import annotations

import hashlib


def image_seed(run_seed: int, prompt_id: int, image_index: int) -> int:
    """The seed of one image, in [0, 2**63).

    SHA-256 rather than arithmetic, so that neighbouring prompts do not get neighbouring seeds.

    >>> image_seed(0, 0, 0) == image_seed(0, 0, 0) != image_seed(0, 0, 1)
    True
    """
    text = f"selfe-eval/image-seed/1/{run_seed}/{prompt_id}/{image_index}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
