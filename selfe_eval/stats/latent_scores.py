"""How image scores scatter: a latent normal threshold model, and its covariances in closed form.

An image is right where its latent number, of variance 1, lies below a threshold. The number is a sum of four
independent normals:

    prompt        the same for all images of a prompt at every step count: some prompts are hard
    seed          the same for one image (one noise) at every step count: why runs with the same noise are paired
    prompt_step   the same for all images of a prompt at one step count: what a step count does to a prompt
    residual      of one image at one step count

Each task has thresholds of its own, so that a score of 0.8 is made of tasks near 1 and tasks near 0.6, which
scatter less than six tasks at 0.8 do. Covariances of threshold crossings come from Plackett (1954, A reduction
formula for normal multivariate integrals): d Phi_2(a, b; r) / dr is the density of the bivariate normal at (a, b).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

NUM_NODES = 64
"""Of the Gauss-Legendre rule: Phi_2 is then good to 1e-9 for correlations up to 0.99."""

NUM_HALVINGS = 60
"""Of an interval when a root is looked for: to the last digit of a float64."""

LIMIT = 9.0
"""Of a threshold: Phi(-9) is 1e-19."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Components:
    """Shares of the latent variance; what is left to 1 is the residual's."""

    prompt: float
    """Between prompts of a task."""
    seed: float
    """Between the noises of a prompt, shared by the step counts."""
    prompt_step: float
    """Between prompts at one step count, beyond what they share."""

    def __post_init__(self) -> None:
        """Refuse what is no share.

        Raises:
            ValueError: a share is negative, or together they exceed 1.
        """
        shares = (self.prompt, self.seed, self.prompt_step)
        if not (min(shares) >= 0 and sum(shares) <= 1 + 1e-9):
            raise ValueError(f"Shares of a variance are at least 0 and at most 1 together, found {shares}.")

    @property
    def residual(self) -> float:
        """Of one image at one step count."""
        return max(0.0, 1.0 - self.prompt - self.seed - self.prompt_step)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scatter:
    """Covariances between K step counts of the scores of T tasks, by where they come from."""

    between: NDArray[np.float64]
    """(T, K, K) of the prompts' own success rates."""
    within: NDArray[np.float64]
    """(T, K, K) of one image around its prompt's rates."""


def task_rates(curve: Sequence[float], difficulty: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T, K) success rates whose mean over tasks is the curve, the tasks being apart by ``difficulty``.

    Args:
        curve: (K,) macro averages, each inside (0, 1).
        difficulty: (T,) thresholds of the tasks, up to a common shift.

    >>> task_rates([0.8], np.array([0.0, 1.0])).round(3).tolist()
    [[0.674], [0.926]]
    """
    targets = np.asarray(curve, dtype=np.float64)
    low, high = np.full(targets.shape, -2 * LIMIT), np.full(targets.shape, 2 * LIMIT)
    for _ in range(NUM_HALVINGS):
        middle = (low + high) / 2
        below = normal_cdf(middle + difficulty[:, None]).mean(axis=0) < targets
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return normal_cdf((low + high) / 2 + difficulty[:, None])


def scatter_of(rates: NDArray[np.float64], components: Components) -> Scatter:
    """The covariances that the model gives scores with these success rates (T, K)."""
    thresholds = normal_quantile(rates)
    a, b = thresholds[:, :, None], thresholds[:, None, :]
    same_step = np.eye(rates.shape[1], dtype=np.bool_)
    prompt, seed = components.prompt, components.seed
    between = np.where(
        same_step,
        crossing_covariance(a, b, prompt + components.prompt_step),
        crossing_covariance(a, b, prompt),
    )
    variances = (rates * (1 - rates))[:, :, None]
    one_image = np.where(same_step, variances, crossing_covariance(a, b, prompt + seed))
    return Scatter(between=between, within=one_image - between)


def curve_covariance(scatter: Scatter, sizes: Sequence[int], images_per_prompt: int) -> NDArray[np.float64]:
    """(K, K) covariance of the macro averages of a design.

    Args:
        scatter: Covariances by task.
        sizes: (T,) prompts of each task.
        images_per_prompt: Images of each prompt at each step count.
    """
    weights = 1 / np.asarray(sizes, dtype=np.float64) / len(sizes) ** 2
    covariance: NDArray[np.float64] = np.tensordot(
        weights, scatter.between + scatter.within / images_per_prompt, axes=1
    )
    return covariance


def crossing_covariance(
    a: NDArray[np.float64], b: NDArray[np.float64], correlation: float
) -> NDArray[np.float64]:
    """Cov(1[X < a], 1[Y < b]) of standard normals X and Y: the integral of their density over the correlation.

    Args:
        a: Thresholds of X; broadcast with ``b``.
        b: Thresholds of Y.
        correlation: In [-1, 1]; what rounding adds to that is taken off.

    >>> zero = np.zeros(1)
    >>> crossing_covariance(zero, zero, 0.5).round(9).tolist()  # asin(0.5) / 2 pi
    [0.083333333]
    """
    nodes, weights = np.polynomial.legendre.leggauss(NUM_NODES)
    angle = math.asin(max(-1.0, min(1.0, correlation)))
    covariance: NDArray[np.float64] = crossing_density(a, b, angle * (nodes + 1) / 2) @ weights * (angle / 2)
    return covariance


def crossing_density(
    a: NDArray[np.float64], b: NDArray[np.float64], angles: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The derivative of `crossing_covariance` by the arc sine of the correlation.

    Args:
        a: Thresholds of X; broadcast with ``b``.
        b: Thresholds of Y.
        angles: (n,) arc sines of correlations inside (-1, 1).

    Returns:
        (..., n).
    """
    a, b = a[..., None], b[..., None]
    exponents = (a * a + b * b - 2 * a * b * np.sin(angles)) / (2 * np.cos(angles) ** 2)
    density: NDArray[np.float64] = np.exp(-exponents) / (2 * math.pi)
    return density


def normal_cdf(thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Phi, element by element."""
    flat = [0.5 * math.erfc(-value / math.sqrt(2)) for value in thresholds.ravel().tolist()]
    return np.array(flat).reshape(thresholds.shape)


def normal_quantile(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of Phi, element by element, kept within +- `LIMIT`."""
    quantile = NormalDist().inv_cdf
    flat = [
        quantile(rate) if 0 < rate < 1 else math.copysign(LIMIT, rate - 0.5)
        for rate in rates.ravel().tolist()
    ]
    quantiles: NDArray[np.float64] = np.clip(np.array(flat).reshape(rates.shape), -LIMIT, LIMIT)
    return quantiles
