from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from selfe_eval.stats.paired import holm, paired_difference
from selfe_eval.stats.panel import panel_from_means

pairs = hnp.arrays(np.int64, (20, 2), elements=st.integers(0, 4)).map(lambda a: a / 4)
TASKS = ("a",) * 8 + ("b",) * 12


@given(means=pairs)
def test_swapping_the_runs_swaps_the_sign(means: np.ndarray) -> None:
    """B - A is minus A - B, with the same error and p-value."""
    one = paired_difference(panel_from_means(means, TASKS, 4))
    other = paired_difference(panel_from_means(means[:, ::-1], TASKS, 4))

    assert one.delta is not None
    assert other.delta == pytest.approx(-one.delta, abs=1e-12)
    assert other.se == pytest.approx(one.se, abs=1e-12)
    assert other.p == pytest.approx(one.p, abs=1e-9)


@given(means=pairs, shift=st.floats(-1.0, 1.0))
def test_a_common_shift_cancels(means: np.ndarray, shift: float) -> None:
    """Adding the same amount to both runs of every prompt changes nothing: difficulty of prompts cancels."""
    one = paired_difference(panel_from_means(means, TASKS, 4))
    other = paired_difference(panel_from_means(means + shift, TASKS, 4))

    assert other.delta == pytest.approx(one.delta, abs=1e-9)
    assert other.se == pytest.approx(one.se, abs=1e-9)


@given(p_values=st.lists(st.floats(0.0, 1.0), max_size=8))
def test_holm_lies_between_raw_and_bonferroni(p_values: list[float]) -> None:
    """Each adjusted p is at least the raw one and at most Bonferroni's, and the order is kept."""
    adjusted = holm(p_values)

    for raw, p in zip(p_values, adjusted, strict=True):
        assert raw <= p <= min(1.0, raw * len(p_values))
    assert [adjusted[i] for i in np.argsort(p_values)] == sorted(adjusted)
