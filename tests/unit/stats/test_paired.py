from __future__ import annotations

import numpy as np
import pytest

from selfe_eval.stats.paired import holm, paired_difference
from selfe_eval.stats.panel import Panel, panel_from_means


def test_paired_error_is_that_of_the_differences() -> None:
    """The standard error equals the clustered one of the prompt differences, stratified by task."""
    rng = np.random.default_rng(3)
    means = rng.integers(0, 5, size=(60, 2)) / 4
    d = means[:, 1] - means[:, 0]
    made = paired_difference(panel_from_means(means, ("a",) * 20 + ("b",) * 40, 4))
    variance = (d[:20].var(ddof=1) / 20 + d[20:].var(ddof=1) / 40) / 4

    assert made.delta == pytest.approx((d[:20].mean() + d[20:].mean()) / 2)
    assert made.se == pytest.approx(np.sqrt(variance))


def test_p_value_at_1_96_standard_errors_is_5_per_cent() -> None:
    """P < 0.05 exactly where the 95 % interval excludes 0."""
    for seed in range(20):
        means = np.random.default_rng(seed).integers(0, 3, size=(50, 2)) / 2
        made = paired_difference(panel_from_means(means, ("a",) * 50, 2))

        assert made.p is not None
        assert made.ci is not None
        assert (made.p < 0.05) == (made.ci[0] > 0 or made.ci[1] < 0)


def test_equal_runs_have_half_an_image_of_error() -> None:
    """Two identical runs differ by 0 with p = 1, and the error is not 0."""
    means = np.repeat(np.random.default_rng(0).integers(0, 5, size=(50, 1)) / 4, 2, axis=1)
    made = paired_difference(panel_from_means(means, ("a",) * 50, 4))

    assert (made.delta, made.p, made.se) == (0.0, 1.0, 1 / 400)


def test_one_prompt_has_no_error() -> None:
    """One prompt gives a difference and nothing about its error."""
    made = paired_difference(panel_from_means(np.array([[0.0, 1.0]]), ("a",), 1))

    assert (made.delta, made.se, made.ci, made.p) == (1.0, None, (-1.0, 1.0), None)


def test_no_common_image_is_no_difference() -> None:
    """A task without a pair gives no number."""
    zeros = np.zeros((2, 2), dtype=np.int64)
    made = paired_difference(Panel(tasks=("a", "a"), sums=np.zeros((2, 2)), counts=zeros, planned=zeros))

    assert (made.delta, made.se, made.ci, made.p, made.n) == (None, None, None, None, 0)


def test_holm_of_one_is_itself() -> None:
    """One question needs no adjustment, and none at all gives none."""
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


def test_holm_never_exceeds_one() -> None:
    """Adjusted p-values are probabilities."""
    assert holm([0.9, 0.8]) == [1.0, 1.0]
