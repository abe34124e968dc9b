from __future__ import annotations

import numpy as np
import pytest

from selfe_eval.stats.panel import Panel, macro_moments, panel_from_means


def make_panel(sums: list[list[float]], counts: list[list[int]], tasks: tuple[str, ...]) -> Panel:
    scored = np.array(counts, dtype=np.int64)
    return Panel(tasks=tasks, sums=np.array(sums, dtype=np.float64), counts=scored, planned=scored)


def test_unequal_images_keep_the_official_arithmetic() -> None:
    """The value is the mean over images of a task, then over tasks, whatever the numbers of images are."""
    panel = make_panel([[1.0], [3.0], [0.0], [2.0]], [[1], [4], [2], [2]], ("a", "a", "b", "b"))
    moments = macro_moments(panel)

    assert moments is not None
    assert moments.values[0] == pytest.approx((4 / 5 + 2 / 4) / 2, abs=1e-15)


def test_equal_images_give_the_ordinary_clustered_covariance() -> None:
    """With equal numbers of images C is the sum over tasks of numpy's covariance of means / n / T^2."""
    rng = np.random.default_rng(0)
    means = rng.integers(0, 5, size=(30, 3)) / 4
    tasks = ("a",) * 10 + ("b",) * 20
    moments = macro_moments(panel_from_means(means, tasks, 4))
    by_hand = (np.cov(means[:10], rowvar=False) / 10 + np.cov(means[10:], rowvar=False) / 20) / 4

    assert moments is not None
    assert moments.covariance is not None
    np.testing.assert_allclose(moments.covariance, by_hand, atol=1e-15)


def test_task_without_scores_leaves_no_average() -> None:
    """A planned task without a scored image makes the average undefined, never an average of the others."""
    counts = np.array([[1], [1], [0]], dtype=np.int64)
    panel = Panel(
        tasks=("a", "a", "b"),
        sums=np.array([[1.0], [1.0], [0.0]]),
        counts=counts,
        planned=np.ones_like(counts),
    )

    assert macro_moments(panel) is None


def test_empty_panel_leaves_no_average() -> None:
    """No prompts, no number."""
    none = np.zeros((0, 1), dtype=np.int64)

    assert macro_moments(Panel(tasks=(), sums=np.zeros((0, 1)), counts=none, planned=none)) is None


def test_single_prompt_leaves_no_covariance() -> None:
    """One prompt in a task says nothing about the spread between prompts."""
    moments = macro_moments(panel_from_means(np.array([[1.0], [0.0], [1.0]]), ("a", "b", "b"), 1))

    assert moments is not None
    assert moments.covariance is None
    assert moments.smallest_stratum == 1


@pytest.mark.parametrize(
    ("sums", "counts", "planned", "names"),
    [
        (np.zeros((2, 1)), np.ones((1, 1)), np.ones((2, 1)), "counts"),
        (np.zeros(2), np.ones((2, 1)), np.ones((2, 1)), "sums"),
        (np.full((2, 1), np.nan), np.ones((2, 1)), np.ones((2, 1)), "finite"),
        (np.zeros((2, 1)), np.full((2, 1), 2), np.ones((2, 1)), "between"),
    ],
)
def test_wrong_panels_are_refused(
    sums: np.ndarray, counts: np.ndarray, planned: np.ndarray, names: str
) -> None:
    """Shapes that differ, NaN, and more scores than plans are refused with the name of what is wrong."""
    with pytest.raises(ValueError, match=names):
        Panel(tasks=("a", "a"), sums=sums, counts=counts.astype(np.int64), planned=planned.astype(np.int64))
