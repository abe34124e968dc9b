from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfe_eval.stats.one_sided import half_width, one_sided_p

gains = st.floats(-1.0, 1.0)
errors = st.floats(1e-6, 1.0)
sizes = st.integers(30, 5000)


@given(gains, errors, sizes)
def test_bounds_and_p_say_the_same(gain: float, se: float, num_clusters: int) -> None:
    """The p-value is below 5 % just where the upper bound is below 0, and is 5 % at the bound."""
    width = half_width(se, num_clusters)

    assert one_sided_p(-width, se, num_clusters) == pytest.approx(0.05)
    if abs(gain + width) > 1e-9:
        assert (one_sided_p(gain, se, num_clusters) < 0.05) == (gain + width < 0)


@given(gains, errors, sizes)
def test_a_gain_and_its_loss_share_all_probability(gain: float, se: float, num_clusters: int) -> None:
    """The p-value of a gain and of the same loss add up to 1, and no loss has one of at least a half."""
    assert one_sided_p(gain, se, num_clusters) + one_sided_p(-gain, se, num_clusters) == pytest.approx(1.0)
    assert one_sided_p(abs(gain), se, num_clusters) >= 0.5


@pytest.mark.parametrize("chance", [0.05, 0.2, 0.5])
def test_an_unchanged_task_is_rarely_called_worse(chance: float) -> None:
    """Of 80 prompts right by chance in both runs, at most 1/120 are called worse at that level, within 3 errors of 40,000."""
    level, num_prompts, repeats = 0.05 / 6, 80, 40_000
    rng = np.random.default_rng(0)
    shape = (repeats, num_prompts)
    differences = (rng.random(shape) < chance).astype(np.int8) - (rng.random(shape) < chance).astype(np.int8)
    means = differences.mean(axis=1)
    errors = np.maximum(differences.std(axis=1, ddof=1) / np.sqrt(num_prompts), 1 / (2 * num_prompts))
    called = [
        one_sided_p(float(gain), float(se), num_prompts) < level
        for gain, se in zip(means, errors, strict=True)
    ]

    assert np.mean(called) < level + 3 * np.sqrt(level / repeats)
