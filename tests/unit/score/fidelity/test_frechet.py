from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from selfe_eval.score.fidelity.frechet import Gaussian, frechet_distance, frechet_replicated, gaussian_of

RNG = np.random.default_rng(3)


def gaussian(mean: NDArray[np.float64], covariance: NDArray[np.float64]) -> Gaussian:
    return Gaussian(mean=mean, covariance=covariance, n=1000)


def random_covariance(width: int, rank: int, seed: int) -> NDArray[np.float64]:
    factor = np.random.default_rng(seed).standard_normal((width, rank))
    covariance: NDArray[np.float64] = factor @ factor.T / rank
    return covariance


def torch_fidelity_distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    statistics = [fid_features_to_statistics(torch.from_numpy(features)) for features in (one, other)]
    return float(fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"])


def test_equal_covariances_leave_the_distance_of_the_means() -> None:
    """N(a, S) and N(b, S) are |a - b|^2 apart, whatever S is."""
    covariance, gap = random_covariance(7, 20, 0), RNG.standard_normal(7)

    found = frechet_distance(gaussian(np.zeros(7), covariance), gaussian(gap, covariance))

    assert found == pytest.approx(gap @ gap, rel=1e-12)


def test_diagonal_covariances_have_a_closed_form() -> None:
    """Independent coordinates add (s - t)^2 each, from their standard deviations s and t."""
    s, t = RNG.uniform(0, 2, 6), RNG.uniform(0, 2, 6)

    found = frechet_distance(gaussian(np.zeros(6), np.diag(s**2)), gaussian(np.zeros(6), np.diag(t**2)))

    assert found == pytest.approx(((s - t) ** 2).sum(), rel=1e-12)


def test_a_scaled_set_has_a_closed_form() -> None:
    """Scaling vectors by c moves them by (c - 1)^2 tr S: Wasserstein's distance of a dilation."""
    covariance = random_covariance(9, 30, 1)

    found = frechet_distance(gaussian(np.zeros(9), covariance), gaussian(np.zeros(9), 2.25 * covariance))

    assert found == pytest.approx(0.25 * np.trace(covariance), rel=1e-12)


def test_commuting_covariances_have_a_closed_form() -> None:
    """With common eigenvectors the distance is the squared Frobenius distance of the roots."""
    basis = np.linalg.qr(RNG.standard_normal((8, 8)))[0]
    s, t = RNG.uniform(0.1, 2, 8), RNG.uniform(0.1, 2, 8)
    one, other = (basis * s**2) @ basis.T, (basis * t**2) @ basis.T

    found = frechet_distance(gaussian(np.ones(8), one), gaussian(np.zeros(8), other))

    assert found == pytest.approx(8 + ((s - t) ** 2).sum(), rel=1e-12)


def test_flat_sets_have_a_distance() -> None:
    """Singular covariances along two axes at an angle: tr A + tr B - 2 |cos| of the angle."""
    along, across = np.array([1.0, 0.0, 0.0]), np.array([0.6, 0.8, 0.0])

    found = frechet_distance(
        gaussian(np.zeros(3), np.outer(along, along)), gaussian(np.zeros(3), np.outer(across, across))
    )

    assert found == pytest.approx(2 - 2 * 0.6, rel=1e-9)


def test_points_without_spread_have_a_distance() -> None:
    """Sets that are one point repeated are as far apart as the points."""
    zero = np.zeros((2, 2))

    assert frechet_distance(gaussian(np.zeros(2), zero), gaussian(np.array([3.0, 4.0]), zero)) == 25.0


def test_few_vectors_are_no_distance_from_themselves() -> None:
    """The distance to itself is 0 also where there are fewer vectors than dimensions."""
    fitted = gaussian_of(RNG.standard_normal((12, 40)))

    assert frechet_distance(fitted, fitted) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("n", "width"), [(400, 64), (70, 64), (50, 80)])
def test_equals_torch_fidelity(n: int, width: int) -> None:
    """Statistics and distance are those of torch-fidelity 0.4, with more vectors than dimensions and with fewer."""
    scales = np.exp(-np.arange(width) / 20)
    one, other = RNG.standard_normal((n, width)) * scales + 5, RNG.standard_normal((500, width)) * 1.1 + 5

    found = frechet_distance(gaussian_of(one), gaussian_of(other))

    assert found == pytest.approx(torch_fidelity_distance(one, other), rel=1e-6)


def test_statistics_are_numpys() -> None:
    """Mean and covariance are those of numpy, with the divisor n - 1."""
    features = RNG.standard_normal((90, 5)).astype(np.float32)

    fitted = gaussian_of(features, block=32)

    assert fitted.n == 90
    assert fitted.mean == pytest.approx(features.astype(np.float64).mean(axis=0), rel=1e-12)
    assert fitted.covariance == pytest.approx(np.cov(features.astype(np.float64), rowvar=False), rel=1e-12)


def test_a_large_mean_costs_no_digits() -> None:
    """Vectors far from the origin have the covariance of the same vectors at the origin."""
    features = RNG.integers(-8, 8, (200, 3)).astype(np.float64)

    far = gaussian_of(features + 2.0**30, block=64)

    assert far.covariance == pytest.approx(gaussian_of(features).covariance, rel=1e-12)


def test_one_vector_has_no_covariance() -> None:
    """A single vector is a mistake of the caller, not a distance."""
    with pytest.raises(ValueError, match="2 vectors"):
        gaussian_of(np.ones((1, 3)))
    with pytest.raises(ValueError, match="needs 2"):
        frechet_replicated(np.ones((1, 1)), np.array([0]), gaussian(np.zeros(1), np.eye(1)))


def test_one_group_leaves_no_replicates() -> None:
    """Where all images are in one group nothing is left without it: a value, and no replicates."""
    found = frechet_replicated(
        RNG.standard_normal((9, 2)), np.zeros(9, int), gaussian(np.zeros(2), np.eye(2))
    )

    assert found.without.shape == (0,)
    assert np.isfinite(found.value)
