from __future__ import annotations

import json
import math

import numpy as np
import pytest

from selfe_eval.stats.drawdown import curve_verdict
from selfe_eval.stats.estimate import macro_estimate
from selfe_eval.stats.jackknife import (
    jackknife_covariance,
    jackknife_difference,
    jackknife_estimate,
    jackknife_verdict,
)
from selfe_eval.stats.panel import panel_from_means

RNG = np.random.default_rng(2)
STEPS = (1, 2, 8, 50)


def replicates(curve: np.ndarray, error: float, groups: int = 50) -> np.ndarray:
    """(G, K) replicates whose jackknife error is about ``error`` at each step count, independent of each other."""
    noise = RNG.standard_normal((groups, len(curve)))
    made: np.ndarray = curve + noise * error / math.sqrt(groups - 1)
    return made


def test_a_mean_has_the_error_of_the_clustered_panel() -> None:
    """Leaving out one prompt at a time gives a mean the standard error that the panel of prompts gives it."""
    means = RNG.uniform(size=(40, 1))
    panel = macro_estimate(panel_from_means(means, ("a",) * 40, 4))
    without = (means.sum() - means[:, 0]) / 39

    found = jackknife_estimate(means.mean(), without, n=160, n_unscored=0, n_clusters=40, within=(0.0, 1.0))

    assert found.se == pytest.approx(panel.se, rel=1e-10)
    assert found.ci == pytest.approx(panel.ci, rel=1e-10)
    assert (found.n, found.n_unscored, found.n_clusters) == (160, 0, 40)


def test_intervals_stay_within_what_is_possible() -> None:
    """A distance has no interval below 0 and a share none beyond 1; an unbiased estimate may go below 0."""
    without = np.array([0.0, 2.0])

    def interval(value: float, within: tuple[float, float]) -> tuple[float, float] | None:
        return jackknife_estimate(value, without, n=2, n_unscored=0, n_clusters=2, within=within).ci

    assert interval(1.0, (0.0, math.inf)) == pytest.approx((0.0, 2.96), abs=1e-3)
    assert interval(0.9, (0.0, 1.0)) == (0.0, 1.0)
    assert interval(-0.5, (-math.inf, math.inf)) == pytest.approx((-2.46, 1.46), abs=1e-3)


def test_a_value_beyond_what_is_possible_stays_in_its_interval() -> None:
    """An unbiased estimate below 0 is never outside the interval that is shown with it."""
    found = jackknife_estimate(-0.01, np.array([-0.01, -0.01]), n=2, n_unscored=0, n_clusters=2)

    assert found.ci == (-0.01, -0.01)


@pytest.mark.parametrize("without", [np.zeros(0), np.zeros(1)])
def test_one_group_gives_no_error(without: np.ndarray) -> None:
    """Fewer than two replicates have no spread; the interval is what is possible, where that has two ends."""
    distance = jackknife_estimate(0.5, without, n=2, n_unscored=1, n_clusters=1)
    share = jackknife_estimate(0.5, without, n=2, n_unscored=1, n_clusters=1, within=(0.0, 1.0))

    assert (distance.se, distance.ci, share.ci) == (None, None, (0.0, 1.0))
    assert json.dumps(distance.ci, allow_nan=False) == "null"


def test_a_common_error_falls_out_of_a_difference() -> None:
    """Two numbers whose replicates move together differ by more than their own intervals would allow."""
    shared = RNG.standard_normal((50, 1))
    table = np.concatenate([shared, shared + 0.1], axis=1) + RNG.standard_normal((50, 2)) * 1e-4

    found = jackknife_difference((5.0, 5.1), table, n=100, n_clusters=50)

    alone = jackknife_covariance(table)
    assert alone is not None
    assert found.se is not None
    assert found.se < math.sqrt(alone[0, 0]) / 100
    assert found.p is not None
    assert found.p < 1e-6


def test_equal_numbers_differ_by_nothing() -> None:
    """A run against itself: difference 0, p 1, and an error that is only rounding."""
    table = np.repeat(RNG.standard_normal((50, 1)), 2, axis=1)
    found = jackknife_difference((3.0, 3.0), table, n=100, n_clusters=50)
    zero = jackknife_difference((0.0, 0.0), table * 0, n=100, n_clusters=50)

    assert (found.delta, found.p, zero.p) == (0.0, 1.0, 1.0)
    assert found.se == pytest.approx(3e-9)


def test_a_difference_without_replicates_has_no_interval() -> None:
    """Fewer than two groups give the difference and nothing else."""
    found = jackknife_difference((3.0, 2.0), np.zeros((0, 2)), n=2, n_clusters=1)

    assert (found.delta, found.se, found.ci, found.p) == (-1.0, None, None, None)


def test_a_falling_distance_is_monotone() -> None:
    """A distance that falls far beyond its error gets better with the step count."""
    curve = np.array([90.0, 40.0, 20.0, 19.0])

    verdict = jackknife_verdict(curve, replicates(curve, 0.3), STEPS, delta=4.5, higher_is_better=False)

    assert (verdict.outcome, verdict.reason, verdict.drawdown) == ("monotone", "", 0.0)
    assert verdict.gain_lower == pytest.approx(71, abs=1.5)


def test_a_distance_that_grows_late_is_violated_and_named() -> None:
    """Diversity lost at many steps shows, with the pair; the same numbers as shares would be an improvement."""
    curve = np.array([0.090, 0.040, 0.020, 0.050])
    table = replicates(curve, 0.001)

    verdict = jackknife_verdict(curve, table, STEPS, delta=0.0045, higher_is_better=False)

    assert (verdict.outcome, verdict.worst_pair) == ("violated", (8, 50))
    assert verdict.drawdown == pytest.approx(0.03)


def test_shares_rise() -> None:
    """Coverage is better when higher."""
    curve = np.array([0.2, 0.5, 0.7, 0.75])

    verdict = jackknife_verdict(curve, replicates(curve, 0.005), STEPS, delta=0.02, higher_is_better=True)

    assert verdict.outcome == "monotone"


@pytest.mark.parametrize(("groups", "outcome"), [(29, "inconclusive"), (30, "monotone")])
def test_few_groups_give_no_verdict(groups: int, outcome: str) -> None:
    """Fewer than thirty groups are too small, whatever the bounds say."""
    curve = np.array([90.0, 40.0, 20.0, 10.0])

    verdict = jackknife_verdict(
        curve, replicates(curve, 0.01, groups), STEPS, delta=4.5, higher_is_better=False
    )

    assert verdict.outcome == outcome
    assert verdict.reason == ("too_small" if groups < 30 else "")


@pytest.mark.parametrize("table", [np.zeros((0, 2)), np.zeros((1, 2))])
def test_no_covariance_gives_no_verdict(table: np.ndarray) -> None:
    """Without an error there are no bounds."""
    verdict = jackknife_verdict(np.array([9.0, 1.0]), table, (1, 50), delta=1.0, higher_is_better=False)

    assert (verdict.outcome, verdict.reason, verdict.drawdown) == ("inconclusive", "too_small", None)


def test_one_step_count_gives_no_verdict() -> None:
    """One step count has no pair to compare."""
    verdict = jackknife_verdict(np.ones(1), np.ones((50, 1)), (4,), delta=1.0, higher_is_better=False)

    assert (verdict.outcome, verdict.reason) == ("inconclusive", "too_small")


def test_equal_images_at_two_step_counts_are_no_fall() -> None:
    """Columns that agree in value and all replicates have no error but rounding, which excludes a fall."""
    curve = np.array([9.0, 2.0, 2.0])
    table = replicates(curve, 0.05)
    table[:, 2] = table[:, 1]

    verdict = jackknife_verdict(curve, table, (1, 8, 50), delta=0.45, higher_is_better=False)

    assert verdict.outcome == "monotone"
    assert verdict.drawdown_upper == pytest.approx(1.645 * 9e-9, rel=1e-3)


def test_numbers_of_nothing_have_a_verdict() -> None:
    """Distances that are all 0 are inconclusive for want of a gain, and divide nothing by 0."""
    verdict = curve_verdict(
        np.zeros(2), np.zeros((2, 2)), (1, 2), delta=0.1, num_groups=50, higher_is_better=False
    )

    assert (verdict.outcome, verdict.reason) == ("inconclusive", "no_endpoint_gain")


def test_steps_must_fit() -> None:
    """Step counts that do not increase or do not fit the values are a mistake of the caller."""
    with pytest.raises(ValueError, match="increase"):
        jackknife_verdict(np.ones(2), np.ones((50, 2)), (50, 1), delta=1.0, higher_is_better=False)
