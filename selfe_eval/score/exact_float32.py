"""Float32 that is float32: GPUs from Ampere on round products to TensorFloat-32's 10 bits unless told otherwise.

The reference ran with torch's defaults of its time, which let convolutions be rounded so; scores then depend on the
GPU. Ours should not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def exact_float32() -> Iterator[None]:
    """No TensorFloat-32 inside, neither in matrix products nor in convolutions; before and after as it was."""
    cudnn: Any = torch.backends.cudnn
    matmul, convolution = torch.backends.cuda.matmul, cudnn.conv
    before = matmul.fp32_precision, convolution.fp32_precision
    matmul.fp32_precision = convolution.fp32_precision = "ieee"
    try:
        yield
    finally:
        matmul.fp32_precision, convolution.fp32_precision = before
