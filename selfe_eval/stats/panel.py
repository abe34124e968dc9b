"""A panel of scores (prompts x columns: step counts or runs) and the moments of its macro average.

The macro average is GenEval's official one (evaluation/summary_scores.py at af4902f): the unweighted mean
over tasks of the mean over the images of the task. Where prompts have unequal numbers of scored images
that mean is a ratio, so the variance is the linearised variance of a ratio (Cochran, Sampling Techniques,
chapter 6). With equal numbers it is the ordinary clustered variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Panel:
    """What was planned and what was scored, for P prompts in K columns."""

    tasks: tuple[str, ...]
    """(P,) the stratum of each prompt."""
    sums: NDArray[np.float64]
    """(P, K) sum of the scores over the scored images of a prompt."""
    counts: NDArray[np.int64]
    """(P, K) number of scored images."""
    planned: NDArray[np.int64]
    """(P, K) number of images there should be; planned minus counted is unscored, which is never a zero."""

    def __post_init__(self) -> None:
        """Refuse panels that would give a wrong number later.

        Raises:
            ValueError: Shapes differ, a sum is not finite, or more images are scored than planned.
        """
        shape = (len(self.tasks), self.sums.shape[1] if self.sums.ndim == 2 else -1)
        for name in ("sums", "counts", "planned"):
            found = getattr(self, name).shape
            if found != shape:
                raise ValueError(f"Panel.{name} must have shape {shape} (prompts, columns), found {found}.")
        if not np.isfinite(self.sums).all():
            raise ValueError("Panel.sums must be finite: an unscored image lowers counts, it is not NaN.")
        if (self.counts < 0).any() or (self.counts > self.planned).any():
            raise ValueError("Panel.counts must lie between 0 and Panel.planned.")

    @property
    def strata(self) -> tuple[str, ...]:
        """The tasks, in order of first appearance."""
        return tuple(dict.fromkeys(self.tasks))

    def prompts(self, keep: NDArray[np.bool_]) -> Panel:
        """The panel of the prompts where ``keep`` (P,) holds."""
        return Panel(
            tasks=tuple(task for task, kept in zip(self.tasks, keep, strict=True) if kept),
            sums=self.sums[keep],
            counts=self.counts[keep],
            planned=self.planned[keep],
        )

    def task(self, name: str) -> Panel:
        """The panel of one task."""
        return self.prompts(np.array([task == name for task in self.tasks], dtype=np.bool_))

    def column(self, index: int) -> Panel:
        """The panel of one column, K = 1."""
        one = slice(index, index + 1)
        return Panel(
            tasks=self.tasks, sums=self.sums[:, one], counts=self.counts[:, one], planned=self.planned[:, one]
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """The macro averages of K columns and what is known about their errors."""

    values: NDArray[np.float64]
    """(K,) macro averages."""
    covariance: NDArray[np.float64] | None
    """(K, K) of ``values``, or None where a task has only one prompt."""
    smallest_stratum: int
    """Number of prompts with a scored image in the task that has fewest."""


def panel_from_means(
    prompt_means: NDArray[np.float64], tasks: tuple[str, ...], images_per_prompt: int
) -> Panel:
    """The panel of a complete design: (P, K) means of ``images_per_prompt`` images each."""
    counts = np.full(prompt_means.shape, images_per_prompt, dtype=np.int64)
    return Panel(tasks=tasks, sums=prompt_means * images_per_prompt, counts=counts, planned=counts)


def macro_moments(panel: Panel) -> Moments | None:
    """Macro averages A_k = mean over tasks of the task's mean, and C = sum_t Cov_t / T^2.

    Cov_t is the cluster-robust covariance of the task's K means with the correction n_t / (n_t - 1).

    Returns:
        The moments, or None where a planned task has no scored image in some column: the average over the
        tasks that happen to be left would be another quantity.

    >>> panel = panel_from_means(np.array([[0.0], [1.0], [1.0], [1.0]]), ("a", "a", "b", "b"), 1)
    >>> moments = macro_moments(panel)
    >>> moments.values.tolist(), moments.covariance.tolist()
    ([0.75], [[0.0625]])
    """
    strata = [panel.task(name) for name in panel.strata]
    if not strata or any((stratum.counts.sum(axis=0) == 0).any() for stratum in strata):
        return None
    ratios = [_ratio_and_errors(stratum) for stratum in strata]
    sizes = [len(errors) for _, errors in ratios]
    covariance = None
    if min(sizes) > 1:
        per_task = [errors.T @ errors * (len(errors) / (len(errors) - 1)) for _, errors in ratios]
        covariance = np.sum(per_task, axis=0) / len(strata) ** 2
    values = np.mean([ratio for ratio, _ in ratios], axis=0)
    return Moments(values=values, covariance=covariance, smallest_stratum=min(sizes))


def _ratio_and_errors(stratum: Panel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each column's mean over images (K,), and each prompt's linearised share of its error (n, K)."""
    seen = stratum.counts.any(axis=1)
    sums, counts = stratum.sums[seen], stratum.counts[seen]
    totals = counts.sum(axis=0)
    ratio = sums.sum(axis=0) / totals
    return ratio, (sums - ratio * counts) / totals
