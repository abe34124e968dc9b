"""What a design can detect: standard errors, smallest detectable differences, and the chances of a verdict.

A design is so many prompts of each task with so many images each; what is assumed of the model is a success rate for
each task and step count (`latent_scores`). Standard errors follow in closed form. Verdicts are drawn: the observed
curve is normal around the true one with that covariance, which is what so many prompts make of it, and the rule of
`drawdown` is applied to each draw, with the covariance known. tests/laws/test_error_rates.py holds these chances
against whole runs that are drawn image by image and judged with an estimated covariance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from selfe_eval.stats.drawdown import ALPHA, MIN_CLUSTERS, Outcome
from selfe_eval.stats.latent_scores import (
    Components,
    Scatter,
    curve_covariance,
    normal_quantile,
    scatter_of,
    task_rates,
)

POWER = 0.8
"""The chance of a significant difference that "detectable" stands for."""

NUM_DRAWS = 20_000
"""Of a curve; a chance is then good to 0.004 (standard error)."""

NEGLIGIBLE = 1e-9
"""A standard error below is none."""

SEED = 20_251_222
"""Of these draws: the same question has the same answer for ever."""

ASSUMED = Components(prompt=0.55, seed=0.15, prompt_step=0.05)
"""Where no run says better: calibrated on public GenEval logs that print images and prompts correct. The seed's share
is a guess: no public log has the same noise at several step counts."""

ASSUMED_TASK_SCORES = (0.9875, 0.9394, 0.7000, 0.8910, 0.7025, 0.6700)
"""How far GenEval's tasks, in the suite's order, are apart: Self-E at 50 steps (arXiv 2512.22374v1, Table 1)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """What is assumed of the scores."""

    components: Components
    """Where the variance lies."""
    difficulty: NDArray[np.float64]
    """(T,) thresholds of the tasks, up to a common shift."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """How many prompts and images."""

    sizes: tuple[int, ...]
    """(T,) prompts of each task."""
    images_per_prompt: int
    """Images of each prompt at each step count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """Standard errors, as shares."""

    single: float
    """Of one score."""
    paired: float
    """Of the difference of two equal scores: same prompts, same noise."""
    paired_fixed: float
    """The same, where the prompts are all there are and only the noise is drawn anew."""
    new_noise: float
    """Same prompts, other noise."""
    unpaired: float
    """Other prompts and other noise."""


def assumed_model() -> Model:
    """What is assumed where no run says better."""
    return Model(components=ASSUMED, difficulty=normal_quantile(np.array(ASSUMED_TASK_SCORES)))


def precision(model: Model, design: Design, baseline: float) -> Precision:
    """The standard errors around a score of ``baseline``, in (0, 1).

    >>> found = precision(assumed_model(), Design(sizes=(80, 99, 80, 94, 100, 100), images_per_prompt=4), 0.8)
    >>> round(found.single, 4), round(found.paired, 4)
    (0.0117, 0.0091)
    """
    scatter = scatter_of(task_rates([baseline, baseline], model.difficulty), model.components)
    own_noise = np.zeros_like(scatter.within)
    own_noise[:, [0, 1], [0, 1]] = scatter.within[:, [0, 1], [0, 1]]
    single = _root(scatter, design, np.array([1.0, 0.0]))
    return Precision(
        single=single,
        paired=_root(scatter, design, _DIFFERENCE),
        paired_fixed=_root(
            Scatter(between=np.zeros_like(own_noise), within=scatter.within), design, _DIFFERENCE
        ),
        new_noise=_root(Scatter(between=scatter.between, within=own_noise), design, _DIFFERENCE),
        unpaired=math.sqrt(2) * single,
    )


_DIFFERENCE = np.array([-1.0, 1.0])


def _root(scatter: Scatter, design: Design, contrast: NDArray[np.float64]) -> float:
    covariance = curve_covariance(scatter, design.sizes, design.images_per_prompt)
    return math.sqrt(max(float(contrast @ covariance @ contrast), 0.0))


def detectable(se: float, *, two_sided: bool) -> float:
    """The difference that a test at 5 % finds in 80 % of runs, from its standard error.

    >>> round(detectable(0.01, two_sided=False), 4), round(detectable(0.01, two_sided=True), 4)
    (0.0249, 0.028)
    """
    normal = NormalDist()
    return (normal.inv_cdf(1 - (ALPHA / 2 if two_sided else ALPHA)) + normal.inv_cdf(POWER)) * se


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a paired difference needs to be detected, two-sided."""

    images_per_prompt: int | None
    """Images of each prompt, with the prompts given; None where no number is enough."""
    prompts: int
    """Prompts, in the same proportions, with the images of each given."""


def needed(model: Model, design: Design, baseline: float, difference: float) -> Need:
    """How many images, or how many prompts, detect a paired difference (a share above 0) in 80 % of runs.

    >>> needed(assumed_model(), Design(sizes=(80, 99, 80, 94, 100, 100), images_per_prompt=4), 0.8, 0.02)
    Need(images_per_prompt=9, prompts=899)
    """
    per_unit = detectable(1.0, two_sided=True) / difference
    one = precision(model, Design(sizes=design.sizes, images_per_prompt=1), baseline)
    given = precision(model, design, baseline)
    within = one.paired_fixed**2
    room = 1 / per_unit**2 - (one.paired**2 - within)
    return Need(
        images_per_prompt=max(1, math.ceil(within / room)) if room > 0 else None,
        prompts=math.ceil(sum(design.sizes) * (given.paired * per_unit) ** 2),
    )


def verdict_chances(
    model: Model, design: Design, curve: Sequence[float], deltas: Sequence[float]
) -> dict[float, dict[Outcome, float]]:
    """The chance of each verdict, for each delta, where ``curve`` (K,) is the truth.

    >>> design = Design(sizes=(80, 99, 80, 94, 100, 100), images_per_prompt=16)
    >>> chances = verdict_chances(assumed_model(), design, [0.75, 0.785, 0.82], [0.02])[0.02]
    >>> round(chances["monotone"], 1), round(chances["violated"], 1)
    (1.0, 0.0)
    """
    return chances_at(task_rates(curve, model.difficulty), model.components, design, deltas)


def chances_at(
    rates: NDArray[np.float64], components: Components, design: Design, deltas: Sequence[float]
) -> dict[float, dict[Outcome, float]]:
    """The same for given success rates of tasks and step counts (T, K), K at least 2."""
    if min(design.sizes) < MIN_CLUSTERS:
        return {delta: {"monotone": 0.0, "violated": 0.0, "inconclusive": 1.0} for delta in deltas}
    covariance = curve_covariance(scatter_of(rates, components), design.sizes, design.images_per_prompt)
    floor = 1 / (2 * sum(design.sizes) * design.images_per_prompt)
    return drawn_chances(rates.mean(axis=0), covariance, deltas, floor=floor)


def drawn_chances(
    curve: NDArray[np.float64], covariance: NDArray[np.float64], deltas: Sequence[float], *, floor: float
) -> dict[float, dict[Outcome, float]]:
    """How often the rule of `drawdown` comes to each verdict on curves drawn around a true one.

    Args:
        curve: (K,) the truth.
        covariance: (K, K) of what is observed.
        deltas: The drops that "monotone" rules out.
        floor: Least standard error of a difference.
    """
    num_steps = len(curve)
    pairs = list(combinations(range(num_steps), 2))
    contrasts = np.array([np.eye(num_steps)[j] - np.eye(num_steps)[i] for i, j in pairs])
    eigenvalues, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(eigenvalues, 0.0))) @ vectors.T
    normals = np.random.default_rng(SEED).standard_normal((NUM_DRAWS, num_steps + len(pairs)))
    noise = normals[:, :num_steps] @ root @ contrasts.T
    raw_errors = np.sqrt(np.maximum(np.einsum("pk,kl,pl->p", contrasts, covariance, contrasts), 0.0))
    errors = np.maximum(raw_errors, floor)
    # As in the verdict, a pair without variance gets a normal of its own: it never makes a violation easier to find.
    known = raw_errors > NEGLIGIBLE
    standardised = np.where(known, noise / np.where(known, raw_errors, 1.0), normals[:, num_steps:])
    quantile = float(np.quantile(standardised.max(axis=1), 1 - ALPHA))
    drops = -(contrasts @ curve) - noise
    bounds = _Bounds(
        lower=(drops - quantile * errors).max(axis=1),
        upper=drops + NormalDist().inv_cdf(1 - ALPHA) * errors,
        ends=pairs.index((0, num_steps - 1)),
    )
    return {delta: bounds.shares(delta) for delta in deltas}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Bounds:
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    ends: int

    def shares(self, delta: float) -> dict[Outcome, float]:
        violated = self.lower > 0
        monotone = ~violated & (self.upper.max(axis=1) <= delta) & (self.upper[:, self.ends] < 0)
        return {
            "monotone": float(monotone.mean()),
            "violated": float(violated.mean()),
            "inconclusive": float((~monotone & ~violated).mean()),
        }
