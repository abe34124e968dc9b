from __future__ import annotations

import numpy as np
import pytest

from selfe_eval.stats import drawdown
from selfe_eval.stats.drawdown import drawdown_verdict
from selfe_eval.stats.panel import Panel, panel_from_means


def noisy_panel(curve: list[float], prompts: int = 400, images: int = 4, seed: int = 0) -> Panel:
    """Independent binomial prompt means around ``curve``, two tasks."""
    rng = np.random.default_rng(seed)
    means = rng.binomial(images, curve, size=(prompts, len(curve))) / images
    return panel_from_means(means, ("a", "b") * (prompts // 2), images)


def test_two_columns_follow_the_closed_form() -> None:
    """For two step counts L, U and G are d and 1.645 standard errors, since q is the one-sided quantile."""
    panel = noisy_panel([0.7, 0.6])
    means = panel.sums / panel.counts
    d = means[:, 1] - means[:, 0]
    value = (d[::2].mean() + d[1::2].mean()) / 2
    se = np.sqrt(d[::2].var(ddof=1) / 200 + d[1::2].var(ddof=1) / 200) / 2
    verdict = drawdown_verdict(panel, [1, 2])

    assert verdict.drawdown == pytest.approx(-value)
    assert verdict.drawdown_upper == pytest.approx(-value + 1.6449 * se, abs=1e-5)
    assert verdict.gain_lower == pytest.approx(value - 1.6449 * se, abs=1e-5)
    assert verdict.drawdown_lower == pytest.approx(-value - 1.6449 * se, abs=0.05 * se)


def test_quantile_agrees_with_a_larger_simulation() -> None:
    """For 5 independent equal columns q is the 95 % quantile of the largest standardised difference."""
    contrasts_error = np.full(10, np.sqrt(2.0))
    q = drawdown._simultaneous_quantile(np.eye(5), contrasts_error)
    rng = np.random.default_rng(7)
    a = rng.standard_normal((400_000, 5))
    direct = np.max([(a[:, j] - a[:, i]) / np.sqrt(2) for i in range(5) for j in range(i + 1, 5)], axis=0)

    assert q == pytest.approx(np.quantile(direct, 0.95), abs=0.03)


def test_late_drop_is_violated_and_named() -> None:
    """A drop far beyond the noise is VIOLATED and the verdict names the pair."""
    verdict = drawdown_verdict(noisy_panel([0.5, 0.8, 0.8, 0.6]), [1, 2, 8, 50])

    assert verdict.outcome == "violated"
    assert verdict.reason == ""
    assert verdict.worst_pair in {(2, 50), (8, 50)}
    assert verdict.drawdown_lower is not None
    assert verdict.drawdown_lower > 0


def test_steep_rise_is_monotone() -> None:
    """A rise far beyond the noise is MONOTONE, with no drawdown left open."""
    verdict = drawdown_verdict(noisy_panel([0.2, 0.4, 0.6, 0.8]), [1, 2, 8, 50])

    assert (verdict.outcome, verdict.drawdown_lower, verdict.drawdown_upper) == ("monotone", 0.0, 0.0)


def test_few_images_leave_a_drawdown_open() -> None:
    """A plateau measured on few prompts is INCONCLUSIVE because a drop beyond delta is not excluded."""
    verdict = drawdown_verdict(noisy_panel([0.4, 0.8, 0.8], prompts=80, images=1), [1, 2, 50])

    assert (verdict.outcome, verdict.reason) == ("inconclusive", "drawdown_not_excluded")


def test_flat_curve_shows_no_gain() -> None:
    """Identical columns exclude a drawdown but show no gain."""
    means = np.random.default_rng(0).integers(0, 5, size=(200, 1)) / 4
    verdict = drawdown_verdict(panel_from_means(np.repeat(means, 3, axis=1), ("a",) * 200, 4), [1, 2, 50])

    assert (verdict.outcome, verdict.reason) == ("inconclusive", "no_endpoint_gain")
    assert verdict.drawdown_upper == pytest.approx(1.6449 / 1600, abs=1e-6)


def test_half_an_image_is_the_least_error() -> None:
    """A pair without observed variance still carries an error of 1 / (2 N)."""
    means = np.repeat([[0.5, 0.75]], 50, axis=0)
    verdict = drawdown_verdict(panel_from_means(means, ("a",) * 50, 4), [1, 50])

    assert verdict.gain_lower == pytest.approx(0.25 - 1.6449 / 400, abs=1e-6)


def test_points_have_the_verdict_of_the_same_shares() -> None:
    """Scores of 0 to 100 with their full mark give every bound times 100, the floor of half an image included."""
    shares = noisy_panel([0.2, 0.5, 0.5, 0.8])
    shares.sums[:, 2] = shares.sums[:, 1]
    points = Panel(tasks=shares.tasks, sums=100 * shares.sums, counts=shares.counts, planned=shares.planned)
    one = drawdown_verdict(shares, [1, 2, 4, 8], delta=0.02)
    other = drawdown_verdict(points, [1, 2, 4, 8], delta=2.0, full_mark=100.0)

    assert other.outcome == one.outcome
    assert one.drawdown_upper == pytest.approx(1.6449 / 3200, rel=1e-3)
    for bound in ("drawdown", "drawdown_lower", "drawdown_upper", "gain_lower"):
        assert getattr(other, bound) == pytest.approx(100 * getattr(one, bound), rel=1e-9)


def test_degenerate_pairs_never_lower_the_quantile() -> None:
    """Columns without variance cannot make a violation easier to find."""
    covariance = np.diag([1.0, 1.0, 0.0, 0.0])
    errors = np.sqrt([2.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    fewer = drawdown._simultaneous_quantile(covariance[:3, :3], errors[[0, 1, 3]])

    assert drawdown._simultaneous_quantile(covariance, errors) >= fewer - 0.03


@pytest.mark.parametrize("prompts", [2, 40])
def test_small_tasks_get_no_verdict(prompts: int) -> None:
    """Fewer than 30 prompts in a task are too small, whatever the bounds say."""
    verdict = drawdown_verdict(noisy_panel([0.9, 0.1], prompts=prompts), [1, 50])

    assert (verdict.outcome, verdict.reason) == ("inconclusive", "too_small")


def test_single_step_count_gets_no_verdict() -> None:
    """One step count has no pair to compare."""
    verdict = drawdown_verdict(noisy_panel([0.5]), [4])

    assert (verdict.outcome, verdict.reason, verdict.worst_pair) == ("inconclusive", "too_small", None)


def test_lower_is_better_mirrors_the_verdict() -> None:
    """A falling distance is the same curve as a rising score."""
    rising = noisy_panel([0.2, 0.5, 0.8])
    falling = Panel(
        tasks=rising.tasks, sums=rising.counts - rising.sums, counts=rising.counts, planned=rising.planned
    )
    one = drawdown_verdict(rising, [1, 2, 4])
    other = drawdown_verdict(falling, [1, 2, 4], higher_is_better=False)

    assert one.outcome == other.outcome == "monotone"
    assert other.gain_lower == pytest.approx(one.gain_lower)


@pytest.mark.parametrize("steps", [[1], [2, 1], [1, 1]])
def test_step_counts_must_fit_and_increase(steps: list[int]) -> None:
    """Unsorted, repeated or missing step counts are a mistake of the caller."""
    with pytest.raises(ValueError, match="increase"):
        drawdown_verdict(noisy_panel([0.2, 0.5]), steps)
