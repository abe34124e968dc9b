"""Vectors as directions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def unit_rows(vectors: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Rows of length one, (n, d) float64; of a row without a direction, zero or not finite, NaN.

    >>> unit_rows(np.array([[3.0, 4.0]]))
    array([[0.6, 0.8]])
    """
    exact = vectors.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(exact / np.linalg.norm(exact, axis=1, keepdims=True))
