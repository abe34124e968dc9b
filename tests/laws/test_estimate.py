from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfe_eval.stats.estimate import macro_estimate
from selfe_eval.stats.panel import Panel


@st.composite
def panels(draw: st.DrawFn) -> Panel:
    """One column, 1-3 tasks, 1-12 prompts, 0-4 of 4 images scored."""
    size = draw(st.integers(1, 12))
    tasks = tuple(draw(st.lists(st.sampled_from("abc"), min_size=size, max_size=size)))
    counts = np.array(draw(st.lists(st.integers(0, 4), min_size=size, max_size=size)), dtype=np.int64)
    sums = np.array([draw(st.integers(0, int(count))) for count in counts], dtype=np.float64)
    planned = np.full((size, 1), 4, dtype=np.int64)
    return Panel(tasks=tasks, sums=sums[:, None], counts=counts[:, None], planned=planned)


@given(panel=panels(), seed=st.integers(0, 2**32 - 1))
def test_order_of_prompts_does_not_matter(panel: Panel, seed: int) -> None:
    """Shuffling the prompts changes no number."""
    order = np.random.default_rng(seed).permutation(len(panel.tasks))
    shuffled = Panel(
        tasks=tuple(panel.tasks[i] for i in order),
        sums=panel.sums[order],
        counts=panel.counts[order],
        planned=panel.planned[order],
    )
    one, other = macro_estimate(panel), macro_estimate(shuffled)

    assert (one.n, one.n_unscored, one.n_clusters) == (other.n, other.n_unscored, other.n_clusters)
    assert one.value == pytest.approx(other.value, abs=1e-12)
    assert one.se == pytest.approx(other.se, abs=1e-12)


@given(panel=panels())
def test_value_lies_in_its_interval(panel: Panel) -> None:
    """0 <= low <= value <= high <= 1, and scored plus unscored is planned."""
    estimate = macro_estimate(panel)

    assert estimate.n + estimate.n_unscored == panel.planned.sum()
    if estimate.value is not None:
        assert estimate.ci is not None
        assert 0.0 <= estimate.ci[0] <= estimate.value + 1e-9
        assert estimate.value - 1e-9 <= estimate.ci[1] <= 1.0


@given(panel=panels())
def test_counting_failures_mirrors_the_estimate(panel: Panel) -> None:
    """The share of wrong images is one minus the share of correct ones, with the same error."""
    mirrored = Panel(
        tasks=panel.tasks, sums=panel.counts - panel.sums, counts=panel.counts, planned=panel.planned
    )
    one, other = macro_estimate(panel), macro_estimate(mirrored)

    if one.value is None:
        assert other.value is None
    else:
        assert other.value == pytest.approx(1 - one.value, abs=1e-12)
        assert other.se == pytest.approx(one.se, abs=1e-12)


@given(panel=panels(), factor=st.integers(2, 5))
def test_more_equal_images_of_the_same_prompts_add_no_certainty(panel: Panel, factor: int) -> None:
    """Repeating every image changes neither value nor error: only new prompts can."""
    repeated = Panel(
        tasks=panel.tasks,
        sums=panel.sums * factor,
        counts=panel.counts * factor,
        planned=panel.planned * factor,
    )
    one, other = macro_estimate(panel), macro_estimate(repeated)

    assert one.value == pytest.approx(other.value, abs=1e-12)
    assert one.se == pytest.approx(other.se, abs=1e-12)
