from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_fidelity.metric_kid import kid_features_to_metric

from selfe_eval.score.fidelity.kernel_distance import Kernel, kernel_replicated, kernel_sum

RNG = np.random.default_rng(5)
ONE, OTHER = RNG.standard_normal((60, 9)) + 0.3, RNG.standard_normal((60, 9)) * 1.2
GROUPS = np.arange(60) // 6


def test_kid_equals_torch_fidelity() -> None:
    """On one subset of all vectors KID is that of torch-fidelity 0.4."""
    theirs = kid_features_to_metric(
        torch.from_numpy(ONE), torch.from_numpy(OTHER), kid_subsets=1, kid_subset_size=60, verbose=False
    )

    found = kernel_replicated(ONE, GROUPS, OTHER, "polynomial")

    assert found.value == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-6)


def test_cmmd_equals_torch_fidelitys_gaussian_kernel() -> None:
    """On vectors of length one CMMD is a thousand times torch-fidelity's distance with the kernel of width 10."""
    one, other = (features / np.linalg.norm(features, axis=1, keepdims=True) for features in (ONE, OTHER))
    theirs = kid_features_to_metric(
        torch.from_numpy(one),
        torch.from_numpy(other),
        kid_kernel="rbf",
        kid_kernel_rbf_sigma=10,
        kid_subsets=1,
        kid_subset_size=60,
        verbose=False,
    )

    found = kernel_replicated(ONE, GROUPS, OTHER, "gaussian")

    assert found.value == pytest.approx(1000 * theirs["kernel_inception_distance_mean"], rel=1e-6)


def test_tiny_sets_by_hand() -> None:
    """The points 0 and 1 against 1 and 1, with and without each point's likeness to itself."""
    one, other = np.array([[0.0], [1.0]]), np.array([[1.0], [1.0]])
    groups = np.array([0, 1])
    # (x y + 1)^3: within {0, 1} 1, 1, 1, 8; within {1, 1} 8 four times; across 1, 1, 8, 8
    unbiased = kernel_replicated(one, groups, other, "polynomial")
    biased = kernel_replicated(one, groups, other, "polynomial", estimator="biased")

    assert unbiased.value == 1 + 8 - 2 * 18 / 4
    assert biased.value == 11 / 4 + 8 - 2 * 18 / 4


def test_two_opposite_points_have_the_closed_form_of_cmmd() -> None:
    """Unit vectors x and -x are 4 apart squared: biased CMMD is 2000 (1 - exp(-4 / 200)), at any length."""
    groups = np.array([0, 1])

    found = kernel_replicated(
        np.full((2, 1), 7.0), groups, np.full((3, 1), -0.5), "gaussian", estimator="biased"
    )

    assert found.value == pytest.approx(2000 * (1 - np.exp(-4 / 200)), rel=1e-12)


@pytest.mark.parametrize("kernel", ["polynomial", "gaussian"])
def test_unbiased_is_zero_on_average_between_equal_distributions(kernel: Kernel) -> None:
    """Over 300 pairs of samples of one distribution the unbiased estimate averages 0, the biased one does not."""
    rng = np.random.default_rng(0)
    groups = np.arange(12) % 3
    found = np.array(
        [
            [
                kernel_replicated(one, groups, other, kernel, estimator=estimator).value
                for estimator in ("unbiased", "biased")
            ]
            for one, other in (
                (rng.standard_normal((12, 3)), rng.standard_normal((20, 3))) for _ in range(300)
            )
        ]
    )
    errors = found.std(axis=0, ddof=1) / np.sqrt(300)

    assert abs(found[:, 0].mean()) < 3 * errors[0]
    assert found[:, 1].mean() > 10 * errors[1]


def test_further_apart_is_a_larger_distance() -> None:
    """Both kernels see a shift, and a larger one better."""
    for kernel in ("polynomial", "gaussian"):
        found = [kernel_replicated(ONE + shift, GROUPS, OTHER, kernel).value for shift in (0.0, 1.0, 2.0)]

        assert found == sorted(found)


def test_a_known_reference_is_not_summed_again() -> None:
    """A sum that is passed in is used as it is: five step counts share one."""
    known = kernel_sum(OTHER, "polynomial")

    found = kernel_replicated(ONE, GROUPS, OTHER, "polynomial", reference_sum=known)

    assert found.value == kernel_replicated(ONE, GROUPS, OTHER, "polynomial").value


def test_zero_vectors_stay_zero() -> None:
    """A vector without a direction is no NaN: it is at distance one from all unit vectors."""
    groups = np.array([0, 1])

    found = kernel_replicated(np.zeros((2, 2)), groups, np.eye(2), "gaussian", estimator="biased")

    assert np.isfinite(found.value)


def test_single_vectors_give_no_distance() -> None:
    """Either side needs two vectors."""
    with pytest.raises(ValueError, match="needs 2"):
        kernel_replicated(np.ones((1, 1)), np.array([0]), np.ones((2, 1)), "polynomial")
    with pytest.raises(ValueError, match="reference"):
        kernel_replicated(np.ones((2, 1)), np.array([0, 1]), np.ones((1, 1)), "polynomial")
