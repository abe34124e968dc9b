from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfe_eval.score.fidelity.manifold import manifold_replicated

groupings = st.lists(st.integers(0, 4), min_size=12, max_size=40).filter(
    lambda groups: len(groups) - max(map(groups.count, range(5))) >= 4
)
"""Groups of unequal sizes; some of the five may have no vector."""


def samples(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two sets in the plane, the second of 30; coarse, so that vectors repeat and distances tie."""
    rng = np.random.default_rng(seed)
    coarse = seed % 2 == 0
    one, other = rng.standard_normal((n, 2)) * 1.3 + 0.4, rng.standard_normal((30, 2))
    return (np.round(one * 4), np.round(other * 4)) if coarse else (one, other)


@settings(max_examples=60)
@given(groups=groupings, seed=st.integers(0, 9999))
def test_replicates_are_the_numbers_of_the_rest(groups: list[int], seed: int) -> None:
    """What is found without each group is found again from the rest alone; an absent group changes nothing."""
    mine = np.array(groups)
    one, other = samples(len(groups), seed)

    found = manifold_replicated(one, mine, other, num_groups=5)

    for group in range(5):
        kept = mine != group
        afresh = manifold_replicated(one[kept], mine[kept], other)
        for name, replicated in found.items():
            assert replicated.without[group] == pytest.approx(afresh[name].value, abs=1e-12), name


@settings(max_examples=30)
@given(n=st.integers(4, 40), block=st.integers(1, 45), seed=st.integers(0, 9999))
def test_blocks_do_not_matter(n: int, block: int, seed: int) -> None:
    """All numbers are the same however many distances are held at a time."""
    one, other = samples(n, seed)
    groups = np.arange(n) % 7

    whole = manifold_replicated(one, groups, other)
    by_block = manifold_replicated(one, groups, other, block=block)

    for name, replicated in whole.items():
        assert by_block[name].value == pytest.approx(replicated.value, abs=1e-12)
        assert by_block[name].without == pytest.approx(replicated.without, abs=1e-12)


@settings(max_examples=30)
@given(n=st.integers(4, 40), seed=st.integers(0, 9999), scale=st.floats(0.1, 100))
def test_numbers_are_shares_and_know_no_unit(n: int, seed: int, scale: float) -> None:
    """Precision, recall and coverage lie in [0, 1]; stretching both sets alike changes nothing."""
    one, other = samples(n, 2 * seed + 1)
    groups = np.arange(n) % 5

    found = manifold_replicated(one, groups, other)
    stretched = manifold_replicated(one * scale, groups, other * scale)

    assert all(0 <= found[name].value <= 1 for name in ("precision", "recall", "coverage"))
    assert found["density"].value >= 0
    for name, replicated in found.items():
        assert stretched[name].value == pytest.approx(replicated.value, abs=1e-12)
