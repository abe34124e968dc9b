from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfe_eval.stats.components import calibrated
from selfe_eval.stats.drawdown import curve_verdict
from selfe_eval.stats.latent_scores import (
    Components,
    crossing_covariance,
    curve_covariance,
    scatter_of,
    task_rates,
)
from selfe_eval.stats.power import (
    Design,
    Model,
    assumed_model,
    detectable,
    drawn_chances,
    needed,
    precision,
    verdict_chances,
)

SIZES = (40, 60)
shares = st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0.05, 1)).map(
    lambda parts: Components(
        prompt=parts[0] / sum(parts), seed=parts[1] / sum(parts), prompt_step=parts[2] / sum(parts)
    )
)
difficulties = st.tuples(st.floats(-1, 1), st.floats(-1, 1)).map(np.array)
curves = st.lists(st.floats(0.1, 0.9), min_size=2, max_size=4)


@settings(max_examples=40, deadline=None)
@given(curve=curves, difficulty=difficulties, components=shares, images=st.integers(1, 16))
def test_covariances_are_covariances(
    curve: list[float], difficulty: np.ndarray, components: Components, images: int
) -> None:
    """What the model gives is symmetric and has no negative variance; an image's own variance is p (1 - p)."""
    rates = task_rates(curve, difficulty)
    scatter = scatter_of(rates, components)
    covariance = curve_covariance(scatter, SIZES, images)

    assert rates.mean(axis=0) == pytest.approx(curve, abs=1e-12)
    assert covariance == pytest.approx(covariance.T, abs=1e-15)
    assert np.linalg.eigvalsh(covariance).min() > -1e-9
    variances = np.einsum("tkk->tk", scatter.between + scatter.within)
    assert variances == pytest.approx(rates * (1 - rates), abs=1e-12)


@given(a=st.floats(-3, 3), b=st.floats(-3, 3), correlation=st.floats(-0.95, 0.95))
def test_crossings_are_symmetric_and_rise_with_the_correlation(
    a: float, b: float, correlation: float
) -> None:
    """Cov(X < a, Y < b) is that of (b, a), has the sign of the correlation and obeys Frechet's bounds."""
    first, second = np.array([a]), np.array([b])
    found = float(crossing_covariance(first, second, correlation)[0])

    assert crossing_covariance(second, first, correlation)[0] == pytest.approx(found, abs=1e-12)
    assert found * correlation >= 0
    assert crossing_covariance(first, -second, -correlation)[0] == pytest.approx(-found, abs=1e-9)
    assert abs(found) <= 0.25


@settings(max_examples=40, deadline=None)
@given(difficulty=difficulties, components=shares, baseline=st.floats(0.2, 0.9))
def test_more_of_everything_is_more_precise(
    difficulty: np.ndarray, components: Components, baseline: float
) -> None:
    """More images lower every standard error, four times the prompts halve it, and more pairing is never worse."""
    model = Model(components=components, difficulty=difficulty)
    few, many = (
        precision(model, Design(sizes=SIZES, images_per_prompt=images), baseline) for images in (2, 8)
    )
    wide = precision(model, Design(sizes=tuple(4 * size for size in SIZES), images_per_prompt=2), baseline)

    assert few.paired_fixed <= few.paired + 1e-12
    assert few.paired <= few.new_noise + 1e-12
    assert few.new_noise <= few.unpaired + 1e-12
    for name in ("single", "paired", "paired_fixed", "new_noise", "unpaired"):
        assert getattr(many, name) <= getattr(few, name) + 1e-12
        assert getattr(wide, name) == pytest.approx(getattr(few, name) / 2)


@settings(max_examples=40, deadline=None)
@given(difference=st.floats(0.005, 0.2), images=st.integers(1, 8))
def test_what_is_needed_is_just_enough(difference: float, images: int) -> None:
    """The images named detect the difference and one fewer do not; where none are named, a million are too few."""
    model, design = assumed_model(), Design(sizes=(80, 99, 80, 94, 100, 100), images_per_prompt=images)
    need = needed(model, design, 0.8, difference)

    def found_with(count: int) -> float:
        one = Design(sizes=design.sizes, images_per_prompt=count)
        return detectable(precision(model, one, 0.8).paired, two_sided=True)

    if need.images_per_prompt is None:
        assert found_with(10**6) > difference
    else:
        assert found_with(need.images_per_prompt) <= difference * (1 + 1e-9)
        assert need.images_per_prompt == 1 or found_with(need.images_per_prompt - 1) > difference
    assert found_with(images) * np.sqrt(553 / need.prompts) <= difference * (1 + 1e-9)


@settings(max_examples=10, deadline=None)
@given(curve=st.lists(st.floats(0.6, 0.9), min_size=2, max_size=5), images=st.integers(1, 16))
def test_chances_add_up_and_rise_with_delta(curve: list[float], images: int) -> None:
    """The three chances sum to 1; a larger delta is called monotone no less often, and violated as often."""
    design = Design(sizes=(80, 99, 80, 94, 100, 100), images_per_prompt=images)
    deltas = (0.005, 0.02, 0.1)
    chances = list(verdict_chances(assumed_model(), design, curve, deltas).values())

    for one in chances:
        assert sum(one.values()) == pytest.approx(1)
    for stricter, looser in pairwise(chances):
        assert stricter["monotone"] <= looser["monotone"]
        assert stricter["violated"] == looser["violated"]


@pytest.mark.parametrize("curve", [(0.75, 0.79, 0.80), (0.8, 0.8, 0.8), (0.75, 0.80, 0.785)])
def test_the_rule_is_that_of_the_verdict(curve: tuple[float, ...]) -> None:
    """Curves drawn here and judged one by one by `curve_verdict` come out as often as the chances say.

    300 draws: the margin is three binomial standard errors, 0.087 at most.
    """
    root = np.array([[0.9, 0.0, 0.0], [0.6, 0.7, 0.0], [0.6, 0.3, 0.6]]) / 100
    covariance = root @ root.T
    found = drawn_chances(np.array(curve), covariance, (0.02,), floor=1e-6)[0.02]
    rng = np.random.default_rng(5)
    outcomes = [
        curve_verdict(
            np.array(curve) + root @ rng.standard_normal(3),
            covariance,
            (1, 2, 4),
            delta=0.02,
            num_groups=50,
            higher_is_better=True,
        ).outcome
        for _ in range(300)
    ]

    for name, chance in found.items():
        margin = 3 * np.sqrt(max(chance * (1 - chance), 0.01) / 300)
        assert outcomes.count(name) / 300 == pytest.approx(chance, abs=margin)


@pytest.mark.parametrize(
    "truth",
    [
        Components(prompt=0.55, seed=0.15, prompt_step=0.05),
        Components(prompt=0.2, seed=0.5, prompt_step=0.1),
        Components(prompt=0.4, seed=0.0, prompt_step=0.0),
    ],
)
def test_a_drawn_run_shows_its_components(truth: Components) -> None:
    """Each component of 2 x 300 prompts x 4 images at 4 step counts comes back within four of its standard errors."""
    rng = np.random.default_rng(3)
    thresholds = np.array([[0.3, 0.6, 0.8, 0.9], [0.0, 0.3, 0.5, 0.6]])
    scores = [
        (
            np.sqrt(truth.prompt) * rng.standard_normal((300, 1, 1))
            + np.sqrt(truth.seed) * rng.standard_normal((300, 4, 1))
            + np.sqrt(truth.prompt_step) * rng.standard_normal((300, 1, 4))
            + np.sqrt(truth.residual) * rng.standard_normal((300, 4, 4))
            < threshold
        ).astype(np.float64)
        for threshold in thresholds
    ]
    found = calibrated(scores)

    for name, error in zip(("prompt", "seed", "prompt_step"), found.errors, strict=True):
        assert 0 < error < 0.06
        assert getattr(found.components, name) == pytest.approx(getattr(truth, name), abs=4 * error)
