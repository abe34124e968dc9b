from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from selfe_eval.score.fidelity.frechet import frechet_distance, frechet_replicated, gaussian_of

groupings = st.lists(st.integers(0, 5), min_size=30, max_size=80).filter(
    lambda groups: len(groups) - max(map(groups.count, range(6))) >= 2
)
"""Groups of 30 to 80 vectors, of unequal sizes; some of the six may have none."""


@settings(max_examples=25)
@given(
    groups=groupings,
    width=st.sampled_from([1, 4, 40]),
    reference_size=st.sampled_from([20, 200]),
    seed=st.integers(0, 9999),
)
def test_replicates_are_the_distances_of_the_rest(
    groups: list[int], width: int, reference_size: int, seed: int
) -> None:
    """What is found without each group is found again from the rest alone; an absent group changes nothing."""
    rng, mine = np.random.default_rng(seed), np.array(groups)
    features = rng.standard_normal((len(groups), width)) * 1.5 + 2
    reference = gaussian_of(rng.standard_normal((reference_size, width)))

    found = frechet_replicated(features, mine, reference, num_groups=6)
    afresh = [frechet_distance(gaussian_of(features[mine != group]), reference) for group in range(6)]

    assert found.value == pytest.approx(frechet_distance(gaussian_of(features), reference), rel=1e-6)
    assert found.without == pytest.approx(np.array(afresh), rel=1e-6)


@settings(max_examples=10)
@given(
    num_groups=st.integers(20, 60),
    images=st.integers(1, 2),
    rank=st.integers(90, 200),
    seed=st.integers(0, 9999),
)
@example(num_groups=36, images=2, rank=90, seed=0)
@example(num_groups=45, images=4, rank=90, seed=0)
def test_small_groups_of_wide_vectors_are_left_out_exactly(
    num_groups: int, images: int, rank: int, seed: int
) -> None:
    """The quadrature that spares the eigenvalues of wide vectors gives what those eigenvalues give."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(num_groups), images)
    features = rng.standard_normal((len(groups), 90)) * np.geomspace(1, 0.02, 90)
    reference = gaussian_of(rng.standard_normal((rank, 90)) + 0.1)

    found = frechet_replicated(features, groups, reference)
    afresh = [frechet_distance(gaussian_of(features[groups != group]), reference) for group in range(3)]

    assert found.without[:3] == pytest.approx(np.array(afresh), rel=1e-8)
    assert np.ptp(found.without) > 1e-4 * found.value


@settings(max_examples=25)
@given(
    sizes=st.tuples(st.integers(2, 50), st.integers(2, 50)),
    width=st.integers(1, 20),
    seed=st.integers(0, 9999),
)
def test_distance_is_symmetric_and_not_negative(sizes: tuple[int, int], width: int, seed: int) -> None:
    """d(a, b) = d(b, a) >= 0 for any two sets, also where covariances are singular."""
    rng = np.random.default_rng(seed)
    one, other = (gaussian_of(rng.standard_normal((size, width)) * 2) for size in sizes)

    assert frechet_distance(one, other) == pytest.approx(frechet_distance(other, one), rel=1e-7, abs=1e-6)
    assert frechet_distance(one, other) >= -1e-6


@settings(max_examples=20)
@given(n=st.integers(2, 60), block=st.integers(1, 70), seed=st.integers(0, 9999))
def test_blocks_do_not_matter(n: int, block: int, seed: int) -> None:
    """Mean and covariance are the same however many vectors are read at a time."""
    features = np.random.default_rng(seed).standard_normal((n, 4)) + 3

    one, other = gaussian_of(features), gaussian_of(features, block=block)

    assert other.mean == pytest.approx(one.mean, abs=1e-12)
    assert other.covariance == pytest.approx(one.covariance, abs=1e-12)


@settings(max_examples=20)
@given(seed=st.integers(0, 9999), shift=st.floats(-50, 50))
def test_turning_and_moving_both_sets_changes_nothing(seed: int, shift: float) -> None:
    """The distance is a property of the two sets together, not of where the axes are."""
    rng = np.random.default_rng(seed)
    one, other = rng.standard_normal((40, 6)), rng.standard_normal((50, 6)) + 1
    turn = np.linalg.qr(rng.standard_normal((6, 6)))[0]

    still = frechet_distance(gaussian_of(one), gaussian_of(other))
    moved = frechet_distance(gaussian_of(one @ turn + shift), gaussian_of(other @ turn + shift))

    assert moved == pytest.approx(still, rel=1e-8)
