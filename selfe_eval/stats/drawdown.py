"""Does quality rise with the number of sampling steps? One of three answers, with bounds on the drawdown.

The maximum drawdown D = max over i < j of (A_i - A_j), at least 0, is by how much some larger step count
is worse than some smaller one. With d_ij = A_j - A_i and its paired standard error se_ij:

    L = max(0, max(-d_ij - q se_ij))       q: 95 % quantile of max Z_ij, Z ~ N(0, correlation of the d_ij)
    U = max(0, max(-d_ij + 1.645 se_ij))   intersection-union, needs no correction for many pairs
    G = d_1K - 1.645 se_1K                 lower bound of the gain from the first to the last step count

    violated      L > 0
    monotone      L = 0 and U <= delta and G > 0
    inconclusive  otherwise

So "monotone" means: never worse by more than delta, and better at the end. Strict increase between all
neighbours cannot be certified with any number of images of 553 prompts, and "the printed numbers are
sorted" fails most truly increasing curves. Two guards keep degenerate data from looking certain: no se_ij
is taken below half an image, 1 / (2 N), and a task with fewer than 30 prompts gives no verdict.

Numbers that are no means of images (distances, with the covariance of a jackknife) have no half image: there
no se_ij is taken below a billionth of the largest value, which is rounding, and fewer than 10 groups give no verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, pairwise
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from selfe_eval.stats.panel import Panel, macro_moments

ALPHA = 0.05
"""Error rate of each of the bounds L, U and G."""

DELTA = 0.02
"""The drop, in units of the score, that "monotone" rules out."""

MIN_CLUSTERS = 30
"""Fewest prompts a task may have, or groups a jackknife: below, the normal approximation is not to be trusted."""

ROUNDING = 1e-9
"""Least standard error of a number that is no mean of images, as a share of the largest value."""

NUM_DRAWS = 20_000
"""Monte-Carlo draws for q; its own error is then about 0.01."""

SEED = 20_251_222
"""Of these draws: the same data give the same verdict for ever."""

Outcome = Literal["monotone", "violated", "inconclusive"]
Reason = Literal["", "drawdown_not_excluded", "no_endpoint_gain", "too_small"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MonotonicityVerdict:
    """The answer and the bounds it rests on, in units of the score."""

    outcome: Outcome
    """What the bounds say together."""
    delta: float
    """The drop that "monotone" rules out."""
    drawdown: float | None
    """The drawdown as observed: biased upwards by noise, so never the verdict. None where undefined."""
    drawdown_lower: float | None
    """L; above 0 where some larger step count is significantly worse."""
    drawdown_upper: float | None
    """U."""
    gain_lower: float | None
    """G; above 0 where the last step count is significantly better than the first."""
    worst_pair: tuple[int, int] | None
    """The two step counts that set L (violated) or else U."""
    reason: Reason
    """Why the outcome is inconclusive; empty otherwise."""


def drawdown_verdict(
    panel: Panel,
    steps: Sequence[int],
    *,
    delta: float = DELTA,
    higher_is_better: bool = True,
    full_mark: float = 1.0,
) -> MonotonicityVerdict:
    """The verdict on the curve of macro averages over step counts.

    Args:
        panel: Scores, one column per step count, paired by prompt.
        steps: (K,) step counts, strictly increasing.
        delta: The drop that "monotone" rules out, in units of the score.
        higher_is_better: False reverses the direction (distances).
        full_mark: What an image can score at most: 1 for shares, 100 for points. Half of it, over the number of
            images, is the least standard error.

    Raises:
        ValueError: ``steps`` does not fit the panel or does not increase.

    >>> from selfe_eval.stats.panel import panel_from_means
    >>> means = np.repeat([[0.0, 0.5]], 60, axis=0)
    >>> means[::2] += 0.5
    >>> drawdown_verdict(panel_from_means(means, ("a",) * 60, 4), [1, 50]).outcome
    'monotone'
    """
    _check_steps(steps, panel.sums.shape[1])
    moments = macro_moments(panel)
    if moments is None or moments.covariance is None or len(steps) < 2:
        return _no_verdict(delta)
    floor = full_mark / (2 * int(panel.counts.sum(axis=0).min()))
    sign = 1.0 if higher_is_better else -1.0
    bounds = _bounds(moments.values, moments.covariance, floor=floor, sign=sign)
    return _verdict(bounds, steps, delta=delta, enough=moments.smallest_stratum >= MIN_CLUSTERS)


def curve_verdict(
    values: NDArray[np.float64],
    covariance: NDArray[np.float64] | None,
    steps: Sequence[int],
    *,
    delta: float,
    num_groups: int,
    higher_is_better: bool,
) -> MonotonicityVerdict:
    """The verdict on a curve of numbers that are no means of images, from their covariance.

    Args:
        values: (K,) the number at each step count.
        covariance: (K, K) of ``values``, as a jackknife gives it; None where it is unknown.
        steps: (K,) step counts, strictly increasing.
        delta: The drop that "monotone" rules out, in units of the values.
        num_groups: Groups that the covariance rests on.
        higher_is_better: False for distances.

    Raises:
        ValueError: ``steps`` does not fit the values or does not increase.

    >>> curve_verdict(np.array([9.0, 3.0]), np.eye(2), [1, 50], delta=0.5, num_groups=50, higher_is_better=False).outcome
    'monotone'
    """
    _check_steps(steps, len(values))
    if covariance is None or len(steps) < 2:
        return _no_verdict(delta)
    floor = ROUNDING * (float(np.abs(values).max()) or 1.0)
    sign = 1.0 if higher_is_better else -1.0
    bounds = _bounds(values, covariance, floor=floor, sign=sign, negligible=floor)
    return _verdict(bounds, steps, delta=delta, enough=num_groups >= MIN_CLUSTERS)


def _check_steps(steps: Sequence[int], num_columns: int) -> None:
    if len(steps) != num_columns or any(b <= a for a, b in pairwise(steps)):
        raise ValueError(f"steps must increase and fit {num_columns} columns, found {list(steps)}.")


def _no_verdict(delta: float) -> MonotonicityVerdict:
    return MonotonicityVerdict(
        outcome="inconclusive",
        delta=delta,
        drawdown=None,
        drawdown_lower=None,
        drawdown_upper=None,
        gain_lower=None,
        worst_pair=None,
        reason="too_small",
    )


def _verdict(bounds: _Bounds, steps: Sequence[int], *, delta: float, enough: bool) -> MonotonicityVerdict:
    outcome, reason = _decide(bounds, delta, enough=enough)
    first, second = bounds.lower_pair if outcome == "violated" else bounds.upper_pair
    return MonotonicityVerdict(
        outcome=outcome,
        delta=delta,
        drawdown=bounds.observed,
        drawdown_lower=bounds.lower,
        drawdown_upper=bounds.upper,
        gain_lower=bounds.gain,
        worst_pair=(int(steps[first]), int(steps[second])),
        reason=reason,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bounds:
    observed: float
    lower: float
    upper: float
    gain: float
    lower_pair: tuple[int, int]
    upper_pair: tuple[int, int]


def _bounds(
    values: NDArray[np.float64],
    covariance: NDArray[np.float64],
    *,
    floor: float,
    sign: float,
    negligible: float = 1e-9,
) -> _Bounds:
    """L, U, G of the module's docstring; ``sign`` is -1 where lower is better, no error is below ``floor``."""
    pairs = list(combinations(range(len(values)), 2))
    contrasts = _contrasts(len(values))
    drops = -sign * (contrasts @ values)
    raw_errors = np.sqrt(np.maximum(np.einsum("pk,kl,pl->p", contrasts, covariance, contrasts), 0.0))
    errors = np.maximum(raw_errors, floor)
    low = drops - _simultaneous_quantile(covariance, raw_errors, negligible) * errors
    high = drops + _one_sided_quantile() * errors
    ends = pairs.index((0, len(values) - 1))
    return _Bounds(
        observed=max(0.0, float(drops.max())),
        lower=max(0.0, float(low.max())),
        upper=max(0.0, float(high.max())),
        gain=float(-high[ends]),
        lower_pair=pairs[int(low.argmax())],
        upper_pair=pairs[int(high.argmax())],
    )


def _decide(bounds: _Bounds, delta: float, *, enough: bool) -> tuple[Outcome, Reason]:
    if not enough:
        return "inconclusive", "too_small"
    if bounds.lower > 0:
        return "violated", ""
    if bounds.upper > delta:
        return "inconclusive", "drawdown_not_excluded"
    if bounds.gain <= 0:
        return "inconclusive", "no_endpoint_gain"
    return "monotone", ""


def _simultaneous_quantile(
    covariance: NDArray[np.float64], raw_errors: NDArray[np.float64], negligible: float = 1e-9
) -> float:
    """Q, the (1 - ALPHA) quantile of max over pairs of Z_ij.

    A pair without any observed variance has no estimated correlation with the others; it gets a normal
    variable of its own, which can only raise q: degenerate columns never make a violation easier to find.
    """
    num_columns, num_pairs = len(covariance), len(raw_errors)
    normals = _standard_normals(num_columns + num_pairs)
    known = raw_errors > negligible
    contrasts = _contrasts(num_columns)[known] / raw_errors[known, None]
    z = normals[:, num_columns:].copy()
    z[:, known] = normals[:, :num_columns] @ (contrasts @ _square_root(covariance)).T
    return float(np.quantile(z.max(axis=1), 1 - ALPHA))


def _contrasts(num_columns: int) -> NDArray[np.float64]:
    """(pairs, K): row (i, j) takes A_j - A_i."""
    rows = np.zeros((num_columns * (num_columns - 1) // 2, num_columns))
    for row, (i, j) in enumerate(combinations(range(num_columns), 2)):
        rows[row, i], rows[row, j] = -1.0, 1.0
    return rows


def _square_root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """The symmetric root: unlike a Cholesky factor it exists for singular matrices; it is unique."""
    eigenvalues, vectors = np.linalg.eigh(covariance)
    root: NDArray[np.float64] = (vectors * np.sqrt(np.maximum(eigenvalues, 0.0))) @ vectors.T
    return root


@lru_cache(maxsize=4)
def _standard_normals(width: int) -> NDArray[np.float64]:
    normals = np.random.default_rng(SEED).standard_normal((NUM_DRAWS, width))
    normals.flags.writeable = False
    return normals


def _one_sided_quantile() -> float:
    return NormalDist().inv_cdf(1 - ALPHA)
