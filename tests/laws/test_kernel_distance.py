from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfe_eval.score.fidelity.kernel_distance import Estimator, Kernel, kernel_replicated, kernel_sum

kernels = st.sampled_from(["polynomial", "gaussian"])
estimators = st.sampled_from(["unbiased", "biased"])
groupings = st.lists(st.integers(0, 4), min_size=12, max_size=40).filter(
    lambda groups: len(groups) - max(map(groups.count, range(5))) >= 2
)
"""Groups of unequal sizes; some of the five may have no vector."""


def samples(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two sets, the second of 25, in three dimensions."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 3)) + 0.5, rng.standard_normal((25, 3))


@settings(max_examples=40)
@given(groups=groupings, kernel=kernels, estimator=estimators, seed=st.integers(0, 9999))
def test_replicates_are_the_distances_of_the_rest(
    groups: list[int], kernel: Kernel, estimator: Estimator, seed: int
) -> None:
    """What is found without each group is found again from the rest alone; an absent group changes nothing."""
    mine = np.array(groups)
    one, other = samples(len(groups), seed)

    found = kernel_replicated(one, mine, other, kernel, estimator=estimator, num_groups=5)
    afresh = [
        kernel_replicated(one[kept], mine[kept], other, kernel, estimator=estimator).value
        for kept in (mine != group for group in range(5))
    ]

    assert found.without == pytest.approx(np.array(afresh), rel=1e-9, abs=1e-9)


@settings(max_examples=40)
@given(kernel=kernels, n=st.integers(2, 30), seed=st.integers(0, 9999))
def test_biased_is_at_least_zero_and_at_least_unbiased(kernel: Kernel, n: int, seed: int) -> None:
    """The V-statistic is a squared norm, and counts each vector's likeness to itself on top."""
    one, other = samples(n, seed)
    groups = np.arange(n)

    biased = kernel_replicated(one, groups, other, kernel, estimator="biased").value

    assert biased >= -1e-9
    assert biased >= kernel_replicated(one, groups, other, kernel).value - 1e-9


@settings(max_examples=30)
@given(kernel=kernels, n=st.integers(2, 40), block=st.integers(1, 45), seed=st.integers(0, 9999))
def test_blocks_do_not_matter(kernel: Kernel, n: int, block: int, seed: int) -> None:
    """The distance and its replicates are the same however many vectors are read at a time."""
    one, other = samples(n, seed)
    groups = np.arange(n) % 7

    whole = kernel_replicated(one, groups, other, kernel)
    by_block = kernel_replicated(one, groups, other, kernel, block=block)

    assert by_block.value == pytest.approx(whole.value, rel=1e-9, abs=1e-9)
    assert by_block.without == pytest.approx(whole.without, rel=1e-9, abs=1e-9)
    assert kernel_sum(one, kernel, block=block).total == pytest.approx(kernel_sum(one, kernel).total)


@settings(max_examples=30)
@given(kernel=kernels, estimator=estimators, n=st.integers(2, 30), seed=st.integers(0, 9999))
def test_the_distance_is_symmetric(kernel: Kernel, estimator: Estimator, n: int, seed: int) -> None:
    """Which set is called the reference does not matter, also at different sizes."""
    one, other = samples(n, seed)

    there = kernel_replicated(one, np.arange(n), other, kernel, estimator=estimator).value
    back = kernel_replicated(other, np.arange(25), one, kernel, estimator=estimator).value

    assert back == pytest.approx(there, rel=1e-9, abs=1e-9)
