from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from selfe_eval.score.fidelity.frechet import frechet_replicated, gaussian_of
from selfe_eval.stats.jackknife import (
    jackknife_covariance,
    jackknife_difference,
    jackknife_estimate,
    jackknife_verdict,
)

tables = hnp.arrays(np.float64, (12, 3), elements=st.floats(-5, 5))


def means_without(numbers: np.ndarray) -> np.ndarray:
    """(G, K) the mean of the rest, for each row of (G, K) numbers."""
    means: np.ndarray = (numbers.sum(axis=0) - numbers) / (len(numbers) - 1)
    return means


@given(numbers=tables)
def test_the_covariance_of_means_is_the_textbooks(numbers: np.ndarray) -> None:
    """For means the jackknife is exactly the sample covariance over n."""
    found = jackknife_covariance(means_without(numbers))

    assert found == pytest.approx(np.cov(numbers, rowvar=False) / len(numbers), abs=1e-9)


@given(numbers=tables, factor=st.floats(0.5, 4), shift=st.floats(-9, 9))
def test_the_error_is_linear(numbers: np.ndarray, factor: float, shift: float) -> None:
    """Scaling a number scales its standard error; moving it changes none."""
    replicates = means_without(numbers)[:, 0]
    one = jackknife_estimate(0.0, replicates, n=12, n_unscored=0, n_clusters=12)
    other = jackknife_estimate(0.0, replicates * factor + shift, n=12, n_unscored=0, n_clusters=12)

    assert other.se == pytest.approx((one.se or 0.0) * factor, abs=1e-9)


@given(numbers=tables)
def test_swapping_the_runs_swaps_the_sign(numbers: np.ndarray) -> None:
    """B - A is minus A - B, with the same error and p-value."""
    replicates = means_without(numbers)[:, :2]
    first, second = numbers[:, 0].mean(), numbers[:, 1].mean()
    one = jackknife_difference((first, second), replicates, n=12, n_clusters=12)
    other = jackknife_difference((second, first), replicates[:, ::-1], n=12, n_clusters=12)

    assert one.delta is not None
    assert other.delta == pytest.approx(-one.delta, abs=1e-12)
    assert other.se == pytest.approx(one.se, abs=1e-12)


@settings(max_examples=25)
@given(
    noise=hnp.arrays(np.float64, (20, 3), elements=st.floats(-0.01, 0.01)),
    curve=hnp.arrays(np.float64, 3, elements=st.floats(0.1, 9)),
    scale=st.sampled_from([1e-6, 1.0, 1e4]),
)
def test_the_verdict_knows_no_unit(noise: np.ndarray, curve: np.ndarray, scale: float) -> None:
    """A distance in millionths has the bounds of the same distance in ones."""
    one = jackknife_verdict(curve, curve + noise, (1, 4, 50), delta=0.3, higher_is_better=False)
    other = jackknife_verdict(
        curve * scale, (curve + noise) * scale, (1, 4, 50), delta=0.3 * scale, higher_is_better=False
    )

    assert one.drawdown_upper is not None
    assert other.drawdown_upper == pytest.approx(one.drawdown_upper * scale, rel=1e-6, abs=1e-7 * scale)
    assert one.drawdown_lower is not None
    assert other.drawdown_lower == pytest.approx(one.drawdown_lower * scale, rel=1e-6, abs=1e-7 * scale)
    assert one.gain_lower is not None
    assert other.gain_lower == pytest.approx(one.gain_lower * scale, rel=1e-6, abs=1e-7 * scale)


def test_the_interval_of_a_frechet_difference_covers_its_mean() -> None:
    """Over 200 draws the paired 95 % interval holds the mean difference at least 90 and at most 100 % of the time.

    Prompts are common to both sets, as between two step counts of one run. The mean of the draws stands for the truth:
    a jackknife knows the error of the number at this n, bias and all.
    """
    rng = np.random.default_rng(4)
    width, prompts, images = 4, 100, 3
    groups = np.arange(prompts * images) // images % 50
    reference = gaussian_of(rng.standard_normal((2000, width)))
    made = []
    for _ in range(200):
        common = np.repeat(rng.standard_normal((prompts, width)), images, axis=0)
        noise = rng.standard_normal((2, prompts * images, width))
        sets = (0.8 * common + 0.6 * noise[0] + 0.3, 0.7 * common + 0.5 * noise[1] + 0.1)
        one, other = (frechet_replicated(rows, groups, reference) for rows in sets)
        replicates = np.stack([one.without, other.without], axis=1)
        made.append(
            jackknife_difference((one.value, other.value), replicates, n=len(groups), n_clusters=prompts)
        )
    deltas = np.array([difference.delta for difference in made])
    errors = np.array([difference.se for difference in made])
    covered = np.abs(deltas - deltas.mean()) <= 1.96 * errors

    assert 0.9 <= covered.mean() <= 1.0
    assert np.median(errors) == pytest.approx(deltas.std(), rel=0.25)
