"""One macro average with its uncertainty: no number leaves without n, standard error and interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from selfe_eval.stats.panel import Panel, macro_moments

CONFIDENCE = 0.95
"""Two-sided confidence of every interval."""

METHOD = "prompt-clustered, task-stratified macro average; normal 95 % interval"
"""How an Estimate was made, for the record."""

Z_TWO_SIDED = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
"""1.96: half-width of the normal interval in standard errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean score, in [0, 1] unless said otherwise, with what it rests on."""

    value: float | None
    """The official average, or None where a planned task has no scored image."""
    se: float | None
    """Cluster-robust standard error; None where a task has fewer than two prompts."""
    ci: tuple[float, float] | None
    """95 % interval within what is possible, [0, 1] for shares; all of it where the standard error is unknown; None
    where the value is unknown, and where all that is possible has no end."""
    n: int
    """Number of scored images."""
    n_unscored: int
    """Number of planned images without a score."""
    n_clusters: int
    """Number of prompts with a scored image."""


def macro_estimate(panel: Panel, *, within: tuple[float, float] = (0.0, 1.0)) -> Estimate:
    """The macro average of a panel with one column; with one task it is the mean over images.

    The interval is value +- 1.96 se, clipped to what is possible. Where all prompts agree the standard error is 0
    and says nothing about the next prompt, so the interval is Wilson's (1927) with the prompts as trials: of all
    values between two ends those at the ends vary most. Values without ends get the normal interval there too.

    Args:
        panel: Scores, K = 1.
        within: The lowest and the highest possible score: (0, 1) for shares, (0, 100) for points.

    >>> import numpy as np
    >>> from selfe_eval.stats.panel import panel_from_means
    >>> made = macro_estimate(panel_from_means(np.array([[0.5]] * 50 + [[1.0]] * 50), ("a",) * 100, 4))
    >>> made.value, round(made.se, 5), made.n, made.n_clusters
    (0.75, 0.02513, 400, 100)
    """
    n, planned = int(panel.counts.sum()), int(panel.planned.sum())
    n_clusters = int(panel.counts.any(axis=1).sum())
    moments = macro_moments(panel)
    if moments is None:
        return Estimate(value=None, se=None, ci=None, n=n, n_unscored=planned - n, n_clusters=n_clusters)
    value = float(moments.values[0])
    se = None if moments.covariance is None else math.sqrt(moments.covariance[0, 0])
    ci = _interval(value, se, n_clusters, within)
    return Estimate(value=value, se=se, ci=ci, n=n, n_unscored=planned - n, n_clusters=n_clusters)


def task_estimates(panel: Panel) -> dict[str, Estimate]:
    """The mean of each task of a panel with one column, in the order of the panel."""
    return {name: macro_estimate(panel.task(name)) for name in panel.strata}


def _interval(
    value: float, se: float | None, n_clusters: int, within: tuple[float, float]
) -> tuple[float, float] | None:
    lowest, highest = within
    if se is not None and se < 1e-9 and math.isfinite(highest - lowest):
        low, high = wilson_interval((value - lowest) / (highest - lowest), n_clusters)
        return lowest + low * (highest - lowest), lowest + high * (highest - lowest)
    return normal_interval(value, se, within)


def normal_interval(
    value: float, se: float | None, within: tuple[float, float]
) -> tuple[float, float] | None:
    """Value +- 1.96 se, clipped to what is possible; never without the value itself.

    Args:
        value: The estimate.
        se: Its standard error, or None where it is unknown: then all that is possible, if that has two ends.
        within: The lowest and the highest possible value; infinite where there is no end.

    >>> normal_interval(0.5, 0.5, (0.0, 0.6))
    (0.0, 0.6)
    >>> normal_interval(0.5, None, (0.0, 1.0)), normal_interval(0.5, None, (0.0, math.inf))
    ((0.0, 1.0), None)
    """
    lowest, highest = within
    if se is None:
        return within if math.isfinite(highest - lowest) else None
    return max(min(value, lowest), value - Z_TWO_SIDED * se), min(
        max(value, highest), value + Z_TWO_SIDED * se
    )


def wilson_interval(proportion: float, trials: int) -> tuple[float, float]:
    """Wilson's 95 % score interval for a proportion of independent trials.

    >>> low, high = wilson_interval(1.0, 80)
    >>> round(low, 3), high
    (0.954, 1.0)
    """
    z2 = Z_TWO_SIDED**2
    centre = (proportion + z2 / (2 * trials)) / (1 + z2 / trials)
    spread = (
        Z_TWO_SIDED
        * math.sqrt(proportion * (1 - proportion) / trials + z2 / (4 * trials**2))
        / (1 + z2 / trials)
    )
    return max(0.0, centre - spread), min(1.0, centre + spread)
