"""What a delete-a-group jackknife says of numbers that are no means of images: FID and its kin.

A number is computed again without each of G groups of prompts. The spread of these replicates is the error that a
new draw of prompts would bring (Shao and Tu, The Jackknife and Bootstrap, 1995, section 2.3). Two numbers whose
replicates leave out the same groups are paired: what their images have in common, and most of the bias of a finite
sample, falls out of their difference. Images are never drawn twice, since that adds the bias a second time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from selfe_eval.stats.drawdown import ROUNDING, MonotonicityVerdict, curve_verdict
from selfe_eval.stats.estimate import Z_TWO_SIDED, Estimate, normal_interval
from selfe_eval.stats.paired import Difference

JACKKNIFE_METHOD = "delete-a-group jackknife over groups of prompts; normal 95 % interval"
"""How these Estimates are made, for the record."""


def jackknife_covariance(replicates: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """(G - 1) / G times the sum over groups of (r - mean)(r - mean)^T.

    Args:
        replicates: (G, K) the K numbers without each group.

    Returns:
        (K, K), or None for fewer than two groups.

    >>> jackknife_covariance(np.array([[1.0], [2.0], [3.0]])).tolist()
    [[1.3333333333333333]]
    """
    num_groups = len(replicates)
    if num_groups < 2:
        return None
    errors = replicates - replicates.mean(axis=0)
    covariance: NDArray[np.float64] = errors.T @ errors * ((num_groups - 1) / num_groups)
    return covariance


def jackknife_estimate(
    value: float,
    without: NDArray[np.float64],
    *,
    n: int,
    n_unscored: int,
    n_clusters: int,
    within: tuple[float, float] = (0.0, math.inf),
) -> Estimate:
    """One number with its standard error and interval.

    Args:
        value: Of all images.
        without: (G,) the same without each group.
        n: Number of images.
        n_unscored: Planned images that are missing.
        n_clusters: Number of prompts with an image.
        within: What is possible: (0, inf) for distances, (0, 1) for shares, (-inf, inf) for unbiased estimates.

    >>> made = jackknife_estimate(2.0, np.array([1.9, 2.1]), n=8, n_unscored=0, n_clusters=2)
    >>> round(made.se, 3), [round(end, 3) for end in made.ci]
    (0.1, [1.804, 2.196])
    """
    covariance = jackknife_covariance(without[:, None])
    se = None if covariance is None else math.sqrt(covariance[0, 0])
    ci = normal_interval(value, se, within)
    return Estimate(value=value, se=se, ci=ci, n=n, n_unscored=n_unscored, n_clusters=n_clusters)


def jackknife_difference(
    values: tuple[float, float], replicates: NDArray[np.float64], *, n: int, n_clusters: int
) -> Difference:
    """Second number minus first, both replicated over the same groups of the same prompts.

    The standard error is at least a billionth of the larger number, which is rounding.

    Args:
        values: The two numbers.
        replicates: (G, 2) both without each group.
        n: Number of images in each.
        n_clusters: Number of prompts.

    >>> made = jackknife_difference((2.0, 1.0), np.array([[1.9, 0.9], [2.1, 1.2]]), n=8, n_clusters=2)
    >>> made.delta, round(made.se, 3)
    (-1.0, 0.05)
    """
    delta = values[1] - values[0]
    covariance = jackknife_covariance(np.diff(replicates, axis=1))
    if covariance is None:
        return Difference(delta=delta, se=None, ci=None, p=None, n=n, n_clusters=n_clusters)
    se = max(math.sqrt(covariance[0, 0]), ROUNDING * max(map(abs, values)))
    ci = (delta - Z_TWO_SIDED * se, delta + Z_TWO_SIDED * se)
    p = math.erfc(abs(delta) / se / math.sqrt(2)) if se else 1.0
    return Difference(delta=delta, se=se, ci=ci, p=p, n=n, n_clusters=n_clusters)


def jackknife_verdict(
    values: NDArray[np.float64],
    replicates: NDArray[np.float64],
    steps: Sequence[int],
    *,
    delta: float,
    higher_is_better: bool,
) -> MonotonicityVerdict:
    """Whether a number gets better with the step count; fewer than thirty groups give no verdict.

    Args:
        values: (K,) the number at each step count.
        replicates: (G, K) the same without each group; row g leaves out the same prompts in every column.
        steps: (K,) step counts, strictly increasing.
        delta: The drop that "monotone" rules out, in units of the values.
        higher_is_better: False for distances.

    Raises:
        ValueError: ``steps`` does not fit the values or does not increase.

    >>> values, noise = np.array([9.0, 3.0]), np.linspace(-1, 1, 50)[:, None] / 50
    >>> jackknife_verdict(values, values + noise, [1, 50], delta=0.5, higher_is_better=False).outcome
    'monotone'
    """
    return curve_verdict(
        values,
        jackknife_covariance(replicates),
        steps,
        delta=delta,
        num_groups=len(replicates),
        higher_is_better=higher_is_better,
    )
