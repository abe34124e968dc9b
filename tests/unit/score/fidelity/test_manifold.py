from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_fidelity.metric_prc import calculate_precision_recall_full

from selfe_eval.score.fidelity import manifold
from selfe_eval.score.fidelity.manifold import balls_of, manifold_replicated

RNG = np.random.default_rng(8)
REAL = RNG.standard_normal((300, 6))
FAKE = RNG.standard_normal((240, 6)) * 0.8 + 0.2
GROUPS = np.arange(240) // 12


def values(fake: np.ndarray, real: np.ndarray) -> dict[str, float]:
    found = manifold_replicated(fake, np.arange(len(fake)) % 10, real)
    return {name: replicated.value for name, replicated in found.items()}


def modes(counts: list[int], seed: int) -> np.ndarray:
    """Points around corners far apart, so many at each."""
    rng = np.random.default_rng(seed)
    return np.concatenate(
        [
            rng.standard_normal((count, 3)) + 40 * np.eye(3)[corner % 3] * (1 + corner // 3)
            for corner, count in enumerate(counts)
        ]
    )


def test_precision_and_recall_equal_torch_fidelity() -> None:
    """Both are those of torch-fidelity 0.4 in double precision, with the generated set first."""
    precision, recall = calculate_precision_recall_full(torch.from_numpy(FAKE), torch.from_numpy(REAL))

    found = values(FAKE, REAL)

    assert 0 < recall < 1
    assert 0 < precision < 1
    assert found["precision"] == pytest.approx(precision, rel=1e-6)
    assert found["recall"] == pytest.approx(recall, rel=1e-6)


def test_density_and_coverage_follow_their_definition() -> None:
    """Both equal the sums of Naeem et al. 2020 written out over the whole table of distances."""
    within = np.linalg.norm(REAL[:, None] - REAL, axis=2)
    radii = np.sort(within, axis=1)[:, 5]
    inside = np.linalg.norm(REAL[:, None] - FAKE, axis=2) < radii[:, None]

    found = values(FAKE, REAL)

    assert found["density"] == pytest.approx(inside.sum() / (5 * len(FAKE)), rel=1e-12)
    assert found["coverage"] == pytest.approx(inside.any(axis=1).mean(), rel=1e-12)


def test_a_line_by_hand() -> None:
    """On 0 to 7 the fifth neighbours are 5, 4, 3, 3, 3, 3, 4, 5 away: five balls reach beyond the ends."""
    real = np.arange(8.0)[:, None]
    fake = np.array([[-2.5], [7.5], [20.0], [30.0]])

    found = values(fake, real)

    assert found["precision"] == 0.5
    assert found["recall"] == 1.0
    assert found["coverage"] == 5 / 8
    assert found["density"] == (2 + 3) / 20


def test_the_surface_counts_for_precision_alone() -> None:
    """On 0 to 7 the ball of 0 reaches -3 (k = 3), which it holds; those of 1 and 7 reach -3 and 12 (k = 5), and do not."""
    found = values(np.array([[-3.0], [12.0], [30.0], [40.0]]), np.arange(8.0)[:, None])

    assert (found["precision"], found["coverage"], found["density"]) == (1 / 4, 1 / 8, 1 / 20)


def test_copies_of_the_reference_are_precise_and_cover_it() -> None:
    """The reference itself, moved far from the origin, has precision, recall and coverage of 1."""
    far = REAL + 1000
    found = values(far, far)

    assert (found["precision"], found["recall"], found["coverage"]) == (1.0, 1.0, 1.0)


def test_a_set_against_itself_has_no_rounding() -> None:
    """Each image is strictly inside its own ball and those of which it is no surface: density is 1 to the last digit."""
    near = np.random.default_rng(0).standard_normal((300, 77)) + 30

    for block in (7, 64, 512):
        found = manifold_replicated(near, np.arange(300) % 10, near.copy(), block=block)

        in_balls = [found[name].value for name in ("precision", "recall", "density", "coverage")]
        assert in_balls == [1.0, 1.0, pytest.approx(1.0, rel=1e-12), 1.0]


def test_copies_are_at_no_distance() -> None:
    """Squared distances between copies of a vector are 0 and not rounding, whatever its length."""
    rows = np.random.default_rng(0).standard_normal((40, 77)) * np.geomspace(1e-3, 1e6, 40)[:, None]

    ((_, squares),) = manifold._squares_across(rows, rows.copy(), 64)

    assert np.array_equal(squares.diagonal(), np.zeros(40))
    assert np.count_nonzero(squares) == 40 * 39


def test_a_ball_without_extent_still_has_its_centre() -> None:
    """Images that are all copies of one real image recall just that one: rounding loses no copy."""
    real = np.random.default_rng(0).standard_normal((300, 77))

    found = values(np.repeat(real[7:8], 20, axis=0), real)

    assert found["precision"] == 1.0
    assert found["recall"] == pytest.approx(1 / 300)


def test_coverage_falls_with_each_dropped_mode() -> None:
    """Six modes drawn as six, four, two and one: coverage and recall fall, precision does not."""
    real = modes([40] * 6, seed=1)
    found = [values(modes([240 // kept] * kept, seed=2), real) for kept in (6, 4, 2, 1)]

    for name in ("coverage", "recall"):
        shares = [one[name] for one in found]
        assert shares == sorted(shares, reverse=True)
        assert shares[0] > 0.8
        assert shares[-1] <= 1 / 6
    assert min(one["precision"] for one in found) > 0.85


def test_precision_and_density_fall_with_outliers() -> None:
    """Half of the images far away halve precision and about halve density; coverage hardly moves."""
    rng = np.random.default_rng(3)
    good = rng.standard_normal((240, 6))
    bad = np.concatenate([good[:120], good[:120] + 100])

    before, after = values(good, REAL), values(bad, REAL)

    assert after["precision"] == pytest.approx(before["precision"] / 2, abs=0.05)
    assert after["density"] == pytest.approx(before["density"] / 2, abs=0.1)


def test_recall_falls_with_collapse() -> None:
    """Images that shrink towards one stay precise and recall ever less."""
    found = [values(FAKE * spread, REAL) for spread in (1.0, 0.5, 0.1)]

    recalls = [one["recall"] for one in found]
    assert recalls == sorted(recalls, reverse=True)
    assert recalls[-1] < 0.1
    assert found[-1]["precision"] > 0.9


def test_balls_that_are_known_are_not_sought_again() -> None:
    """Balls that are passed in are used as they are: five step counts share them."""
    known = manifold_replicated(FAKE, GROUPS, REAL, balls=balls_of(REAL))
    sought = manifold_replicated(FAKE, GROUPS, REAL)

    for name, replicated in sought.items():
        assert known[name].value == replicated.value
        assert np.array_equal(known[name].without, replicated.without)


def test_too_few_vectors_have_no_balls() -> None:
    """Fewer than four generated or six real vectors are a mistake of the caller."""
    with pytest.raises(ValueError, match="needs 4"):
        manifold_replicated(FAKE[:3], np.arange(3), REAL)
    with pytest.raises(ValueError, match="needs 6"):
        manifold_replicated(FAKE, GROUPS, REAL[:5])


def test_a_group_that_leaves_too_few_leaves_no_replicates() -> None:
    """Where three images or fewer are left without some group there are values and no replicates."""
    for replicated in manifold_replicated(FAKE[:6], np.array([0, 0, 0, 1, 2, 3]), REAL).values():
        assert np.isfinite(replicated.value)
        assert replicated.without.shape == (0,)
