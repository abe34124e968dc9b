"""Where the variance of a real run's scores lies, by the method of moments.

Of each task: W, the covariance between step counts of one image around its prompt (images of a prompt against each
other), and B, that of the prompts' own rates (of the observed prompt means, minus W / m for m images). The model of
`latent_scores` ties each of three sums over tasks and step counts to one correlation, which is solved for:

    B at different step counts        prompt
    B at the same step count          prompt + prompt_step
    B + W at different step counts    prompt + seed

What comes out below nothing is clipped to 0, and what is more than the whole is shrunk to it; either is said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selfe_eval.stats.jackknife import jackknife_covariance
from selfe_eval.stats.latent_scores import Components, crossing_density, normal_quantile

NUM_GROUPS = 20
"""Of prompts at most, for the standard errors."""

FEWEST_PROMPTS = 3
"""That a task needs."""

MAX_CORRELATION = 0.99
"""That is looked for: beyond, the covariance of crossings is not exact."""

NUM_ANGLES = 801
"""Where the covariance of crossings is known when a correlation is looked for: to about 1e-5. Odd: 0 is among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """Components as a run shows them."""

    components: Components
    """What was found."""
    errors: tuple[float, float, float]
    """Standard errors of prompt, seed and prompt_step before clipping: a jackknife over groups of prompts."""
    clipped: tuple[str, ...]
    """Names of the components that were clipped to 0 or shrunk."""


def calibrated(scores: Sequence[NDArray[np.float64]]) -> Calibrated:
    """The components of a run.

    Args:
        scores: For each task (P_t, m, K): 0 or 1 for image j of prompt i at step count k; the same m and K in each.
            Some task has both at two step counts: else there is nothing to tell apart.

    Raises:
        ValueError: a task has fewer than three prompts, or there are fewer than two images or step counts.
    """
    if any(task.shape[0] < FEWEST_PROMPTS or min(task.shape[1:]) < 2 for task in scores):
        raise ValueError(
            f"Each task needs {FEWEST_PROMPTS} prompts, two images and two step counts, found "
            f"{[task.shape for task in scores]}."
        )
    num_groups = min(NUM_GROUPS, *map(len, scores))
    replicates = [
        _unclipped([task[np.arange(len(task)) % num_groups != left] for task in scores])
        for left in range(num_groups)
    ]
    covariance = jackknife_covariance(np.array(replicates))
    assert covariance is not None
    prompt, seed, prompt_step = (math.sqrt(variance) for variance in np.diag(covariance))
    components, clipped = _clipped(_unclipped(scores))
    return Calibrated(components=components, errors=(prompt, seed, prompt_step), clipped=clipped)


def _unclipped(scores: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """(3,) prompt, seed and prompt_step; each may be negative."""
    between, within = zip(*map(_moments, scores), strict=True)
    sizes = np.array([len(task) for task in scores], dtype=np.float64)
    thresholds = normal_quantile(np.array([task.mean(axis=(0, 1)) for task in scores]))
    same_step = np.eye(thresholds.shape[1], dtype=np.bool_)

    def correlation(moments: NDArray[np.float64], cells: NDArray[np.bool_]) -> float:
        target = float(sizes @ moments[:, cells].sum(axis=1))
        return _solved(thresholds, sizes, cells, target)

    prompt = correlation(np.array(between), ~same_step)
    same_noise = correlation(np.array(between) + np.array(within), ~same_step)
    at_one_step = correlation(np.array(between), same_step)
    return np.array([prompt, same_noise - prompt, at_one_step - prompt])


def _moments(scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """B and W (K, K) of one task's scores (P, m, K)."""
    num_prompts, num_images, _ = scores.shape
    means = scores.mean(axis=1)
    around = scores - means[:, None, :]
    within = np.einsum("pmk,pml->kl", around, around) / (num_prompts * (num_images - 1))
    errors = means - means.mean(axis=0)
    return errors.T @ errors / (num_prompts - 1) - within / num_images, within


def _solved(
    thresholds: NDArray[np.float64], weights: NDArray[np.float64], cells: NDArray[np.bool_], target: float
) -> float:
    """The correlation within +- 0.99 whose covariances of crossings have this weighted sum over tasks and ``cells``."""
    rows, columns = np.nonzero(cells)
    angles = np.linspace(-1.0, 1.0, NUM_ANGLES) * math.asin(MAX_CORRELATION)
    density = crossing_density(thresholds[:, rows], thresholds[:, columns], angles)
    slopes = np.einsum("t,tcn->n", weights, density)
    sums = np.concatenate([[0.0], np.cumsum((slopes[1:] + slopes[:-1]) / 2) * (angles[1] - angles[0])])
    return math.sin(np.interp(target, sums - sums[NUM_ANGLES // 2], angles))


def _clipped(found: NDArray[np.float64]) -> tuple[Components, tuple[str, ...]]:
    names = ("prompt", "seed", "prompt_step")
    shares = np.maximum(found, 0.0)
    clipped = [name for name, raw in zip(names, found, strict=True) if raw < 0]
    if shares.sum() > 1:
        shares /= shares.sum()
        clipped.append("residual")
    prompt, seed, prompt_step = map(float, shares)
    return Components(prompt=prompt, seed=seed, prompt_step=prompt_step), tuple(clipped)
