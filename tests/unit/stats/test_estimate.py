from __future__ import annotations

import math

import numpy as np
import pytest

from selfe_eval.stats.estimate import macro_estimate, task_estimates, wilson_interval
from selfe_eval.stats.panel import Panel, panel_from_means

TASK_SIZES = {"single_object": 320, "two_object": 396, "counting": 320, "colors": 376, "position": 400}
TASK_SIZES["color_attr"] = 400
"""Images by task of the official suite at 4 images a prompt (djghosh13/geneval at af4902f)."""

# Correct images and overall as printed by the reference in the public thread Tongyi-MAI/Z-Image#142.
Z_IMAGE = {"single_object": 314, "two_object": 349, "counting": 245, "colors": 328, "position": 158}
Z_IMAGE["color_attr"] = 226
Z_IMAGE_OVERALL = 0.74342


def spread(correct: int, prompts: int) -> np.ndarray:
    """(prompts, 1) means of 4 images with ``correct`` ones in all, filled prompt by prompt."""
    sums = np.clip(correct - 4 * np.arange(prompts), 0, 4)
    return sums[:, None] / 4


def test_published_counts_give_the_published_overall() -> None:
    """The macro average of a public results thread is reproduced to its last printed digit."""
    means = np.concatenate([spread(Z_IMAGE[task], size // 4) for task, size in TASK_SIZES.items()])
    tasks = tuple(task for task, size in TASK_SIZES.items() for _ in range(size // 4))
    estimate = macro_estimate(panel_from_means(means, tasks, 4))

    assert estimate.value is not None
    assert round(estimate.value, 5) == Z_IMAGE_OVERALL
    assert (estimate.n, estimate.n_unscored, estimate.n_clusters) == (2212, 0, 553)


def test_one_image_a_prompt_is_the_binomial_error() -> None:
    """With one image a prompt the clustered error is the iid one, sqrt(p (1 - p) / (n - 1))."""
    values = np.array([[1.0]] * 30 + [[0.0]] * 70)
    estimate = macro_estimate(panel_from_means(values, ("a",) * 100, 1))

    assert estimate.se == pytest.approx(math.sqrt(0.3 * 0.7 / 99), rel=1e-12)


def test_perfectly_correlated_images_count_once() -> None:
    """Four equal images a prompt give the error of one image a prompt, not half of it."""
    values = np.array([[1.0]] * 30 + [[0.0]] * 70)
    once = macro_estimate(panel_from_means(values, ("a",) * 100, 1))
    four = macro_estimate(panel_from_means(values, ("a",) * 100, 4))

    assert once.se == four.se


def test_cluster_bootstrap_agrees() -> None:
    """Resampling prompts within tasks 4,000 times gives the same standard error within its own error."""
    rng = np.random.default_rng(1)
    sizes = {"a": 80, "b": 99, "c": 100}
    counts = rng.integers(1, 5, size=(279, 1))
    sums = rng.binomial(counts, rng.beta(2.0, 1.0, size=(279, 1)))
    tasks = tuple(task for task, size in sizes.items() for _ in range(size))
    panel = Panel(tasks=tasks, sums=sums.astype(np.float64), counts=counts, planned=counts)
    estimate = macro_estimate(panel)
    drawn = np.zeros(4000)
    for task, size in sizes.items():
        stratum = panel.task(task)
        picks = rng.integers(0, size, size=(4000, size))
        drawn += stratum.sums[picks, 0].sum(axis=1) / stratum.counts[picks, 0].sum(axis=1) / len(sizes)

    assert estimate.se == pytest.approx(drawn.std(), rel=0.05)


def test_unscored_images_are_counted_and_not_zero() -> None:
    """An unscored image changes n_unscored and leaves the mean to the scored ones."""
    counts = np.array([[4], [2], [0]], dtype=np.int64)
    panel = Panel(
        tasks=("a",) * 3,
        sums=np.array([[4.0], [2.0], [0.0]]),
        counts=counts,
        planned=np.full((3, 1), 4, dtype=np.int64),
    )
    estimate = macro_estimate(panel)

    assert (estimate.value, estimate.n, estimate.n_unscored, estimate.n_clusters) == (1.0, 6, 6, 2)


def test_nothing_scored_is_no_value() -> None:
    """Without scores there is no value, no error and no interval."""
    zeros = np.zeros((2, 1), dtype=np.int64)
    panel = Panel(tasks=("a", "a"), sums=np.zeros((2, 1)), counts=zeros, planned=zeros + 4)
    estimate = macro_estimate(panel)

    assert (estimate.value, estimate.se, estimate.ci, estimate.n_unscored) == (None, None, None, 8)


def test_one_prompt_is_a_value_without_an_error() -> None:
    """One prompt has a mean, no standard error, and the whole range as its interval."""
    estimate = macro_estimate(panel_from_means(np.array([[0.5]]), ("a",), 4))

    assert (estimate.value, estimate.se, estimate.ci) == (0.5, None, (0.0, 1.0))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_unanimous_prompts_are_not_certainty(share: float) -> None:
    """80 of 80 leaves a few per cent open: Wilson's interval, not a point."""
    estimate = macro_estimate(panel_from_means(np.full((80, 1), share), ("a",) * 80, 4))

    assert estimate.se == 0.0
    assert estimate.ci == wilson_interval(share, 80)
    assert estimate.ci[1] - estimate.ci[0] > 0.03


def test_interval_stays_in_the_unit_range() -> None:
    """One failure among 40 prompts does not push the interval past 1."""
    estimate = macro_estimate(panel_from_means(np.array([[0.0]] + [[1.0]] * 39), ("a",) * 40, 1))

    assert estimate.ci is not None
    assert estimate.ci[1] == 1.0


def test_points_are_estimated_as_shares_are() -> None:
    """Scores of 0 to 100 give value, error and interval of the same shares, times 100."""
    for means in (np.random.default_rng(0).uniform(size=(60, 1)), np.full((60, 1), 1.0)):
        share = macro_estimate(panel_from_means(means, ("a",) * 60, 4))
        points = macro_estimate(panel_from_means(100 * means, ("a",) * 60, 4), within=(0.0, 100.0))

        assert share.value is not None
        assert share.se is not None
        assert share.ci is not None
        assert points.value == pytest.approx(100 * share.value)
        assert points.se == pytest.approx(100 * share.se)
        assert points.ci == pytest.approx((100 * share.ci[0], 100 * share.ci[1]))


def test_unbounded_means_get_the_normal_interval() -> None:
    """Numbers without ends are clipped nowhere; one prompt gives them a value and no interval."""
    means = np.array([[-40.0], [60.0], [130.0]])
    everywhere = (-math.inf, math.inf)
    estimate = macro_estimate(panel_from_means(means, ("a",) * 3, 2), within=everywhere)
    alone = macro_estimate(panel_from_means(means[:1], ("a",), 2), within=everywhere)

    half = 1.959964 * means.std(ddof=1) / math.sqrt(3)
    assert estimate.ci == pytest.approx((50 - half, 50 + half), rel=1e-6)
    assert (alone.value, alone.se, alone.ci) == (-40.0, None, None)


def test_points_of_images_are_a_mean_over_images() -> None:
    """With one stratum a prompt counts as often as it has images, and its images count once for the error."""
    counts = np.array([[4], [1], [3]], dtype=np.int64)
    panel = Panel(tasks=("all",) * 3, sums=np.array([[80.0], [30.0], [90.0]]), counts=counts, planned=counts)
    estimate = macro_estimate(panel, within=(0.0, 100.0))

    errors = np.array([80 - 25 * 4, 30 - 25, 90 - 25 * 3]) / 8
    assert estimate.value == 25.0
    assert estimate.se == pytest.approx(math.sqrt((errors**2).sum() * 3 / 2))


def test_tasks_are_estimated_apart_in_their_order() -> None:
    """Each task has its own mean, in order of first appearance."""
    means = np.array([[1.0], [0.0], [1.0], [1.0]])
    estimates = task_estimates(panel_from_means(means, ("b", "a", "b", "a"), 1))

    assert [(name, e.value) for name, e in estimates.items()] == [("b", 1.0), ("a", 0.5)]
