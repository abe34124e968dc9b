"""The mean of independent numbers with its standard error: for measurements that are no scores of prompts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selfe_eval.stats.estimate import Z_TWO_SIDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """A mean with what it rests on."""

    value: float | None
    """None where there is no finite number."""
    se: float | None
    """Standard error; None where there are fewer than two numbers."""
    ci: tuple[float, float] | None
    """Normal 95 % interval; None where the standard error is."""
    n: int
    """How many numbers."""
    n_left_out: int
    """How many were not finite."""


def mean_of(values: NDArray[np.float64]) -> Mean:
    """The mean of independent values (N,); those that are not finite are left out and counted.

    >>> made = mean_of(np.array([1.0, 2.0, 3.0, np.nan]))
    >>> made.value, round(made.se, 4), made.n, made.n_left_out
    (2.0, 0.5774, 3, 1)
    """
    finite = values[np.isfinite(values)]
    n, left_out = len(finite), len(values) - len(finite)
    if n == 0:
        return Mean(value=None, se=None, ci=None, n=0, n_left_out=left_out)
    value = float(finite.mean())
    if n == 1:
        return Mean(value=value, se=None, ci=None, n=1, n_left_out=left_out)
    se = float(finite.std(ddof=1)) / math.sqrt(n)
    half = Z_TWO_SIDED * se
    return Mean(value=value, se=se, ci=(value - half, value + half), n=n, n_left_out=left_out)
