"""Is one run better than another on the same prompts? Paired, clustered differences, and Holm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from selfe_eval.stats.estimate import Z_TWO_SIDED
from selfe_eval.stats.panel import Panel, macro_moments


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Second column minus first, in units of the score."""

    delta: float | None
    """The difference of the two macro averages, or None where a task has no image scored in both."""
    se: float | None
    """Paired, cluster-robust standard error; None where a task has fewer than two prompts."""
    ci: tuple[float, float] | None
    """95 % interval within what is possible, [-1, 1] for shares; all of it where the standard error is unknown; None
    where delta is, and where all that is possible has no end."""
    p: float | None
    """Two-sided normal p-value of "no difference"; None where the standard error is unknown."""
    n: int
    """Number of pairs of images."""
    n_clusters: int
    """Number of prompts with a pair."""


def paired_difference(panel: Panel, *, full_mark: float = 1.0) -> Difference:
    """The difference between the two columns of a panel, whose images are paired by prompt.

    The standard error is at least half an image, full_mark / (2 n): two runs that differ in the same way on every
    prompt give no observed variance, which is not certainty.

    Args:
        panel: Scores, K = 2, counting only images that both runs have.
        full_mark: By how much two scores can differ at most: 1 for shares, 100 for points.

    >>> from selfe_eval.stats.panel import panel_from_means
    >>> means = np.array([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [0.0, 1.0]])
    >>> made = paired_difference(panel_from_means(means, ("a",) * 4, 1))
    >>> made.delta, round(made.se, 4)
    (0.5, 0.2887)
    """
    n, n_clusters = int(panel.counts[:, 0].sum()), int(panel.counts.any(axis=1).sum())
    moments = macro_moments(panel)
    if moments is None:
        return Difference(delta=None, se=None, ci=None, p=None, n=n, n_clusters=n_clusters)
    delta = float(moments.values[1] - moments.values[0])
    if moments.covariance is None:
        return Difference(
            delta=delta, se=None, ci=(-full_mark, full_mark), p=None, n=n, n_clusters=n_clusters
        )
    contrast = np.array([-1.0, 1.0])
    se = max(math.sqrt(max(float(contrast @ moments.covariance @ contrast), 0.0)), full_mark / (2 * n))
    ci = (max(-full_mark, delta - Z_TWO_SIDED * se), min(full_mark, delta + Z_TWO_SIDED * se))
    p = math.erfc(abs(delta) / se / math.sqrt(2))
    return Difference(delta=delta, se=se, ci=ci, p=p, n=n, n_clusters=n_clusters)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down adjusted p-values, in the given order.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def sign_test(wins: int, losses: int) -> float:
    """Two-sided exact p-value of "a win is as likely as a loss", among independent pairs that differ: McNemar's exact test.

    Images of one prompt are not independent, so for them it describes and decides nothing.

    >>> sign_test(0, 0), sign_test(1, 0), sign_test(5, 0), sign_test(3, 1)
    (1.0, 1.0, 0.0625, 0.625)
    """
    n = wins + losses
    tail = sum(math.comb(n, k) for k in range(min(wins, losses) + 1))
    p: float = 2 * tail / 2**n
    return min(1.0, p)
