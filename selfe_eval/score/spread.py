"""How unlike each other the images of one prompt are: few-step models lose variety before they lose quality.

More is no better in itself, noise spreads too; it is read beside a measure of quality.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfe_eval.score.cosine import unit_rows


def spreads(features: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """For each of the n images of a prompt the mean of 1 - cosine to the others.

    Their mean is the mean over all pairs. By 1 - cos(u, v) = |u - v|^2 / 2 of unit vectors, so equal images have
    exactly zero.

    Args:
        features: (n, d) with n >= 2, of the images of one prompt at one step count; not normalised.

    Returns:
        (n,) in [0, 2].

    >>> spreads(np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]]))
    array([0.5, 1. , 0.5])
    """
    unit = unit_rows(features)
    return np.array([np.sum((unit - one) ** 2) / 2 for one in unit]) / (len(unit) - 1)
