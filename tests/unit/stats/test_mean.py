from __future__ import annotations

import numpy as np
import pytest

from selfe_eval.stats.mean import mean_of


def test_the_mean_of_nothing_is_nothing() -> None:
    """Without a finite number there is no mean, and what was left out is counted."""
    made = mean_of(np.array([np.nan, np.inf]))

    assert (made.value, made.se, made.ci, made.n, made.n_left_out) == (None, None, None, 0, 2)


def test_one_number_has_no_error() -> None:
    """One number is a mean without a standard error or an interval, not with one of zero."""
    made = mean_of(np.array([3.0]))

    assert (made.value, made.se, made.ci, made.n) == (3.0, None, None, 1)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Of 400 intervals over 200 normal numbers 95 % hold the true mean, to four standard errors of that share."""
    rng = np.random.default_rng(0)
    intervals = [mean_of(rng.normal(0.3, 2.0, size=200)).ci for _ in range(400)]
    share = np.mean([ci is not None and ci[0] < 0.3 < ci[1] for ci in intervals])

    assert share == pytest.approx(0.95, abs=0.045)
