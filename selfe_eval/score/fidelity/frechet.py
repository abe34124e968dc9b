"""The Frechet distance between Gaussians fitted to two sets of feature vectors: FID and FD-DINOv2.

    d^2 = |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)      (Dowson and Landau 1982; Heusel et al. 2017, eq. 6)

With any F such that S2 = F F^T the eigenvalues of S1 S2 that are not zero are those of the symmetric F^T S1 F. They
are found faster and without complex rounding; the value is that of torch-fidelity to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfe_eval.score.fidelity.replicates import Replicated, num_replicates
from selfe_eval.score.fidelity.rows import BLOCK, Rows, blocks, group_rows

_STEP = 0.4
"""Of the trapezoidal rule for the square root: its relative error is about exp(-pi^2 / step), 2e-11."""

_REACH = 26.0
"""How far that rule goes beyond the largest eigenvalue on either side: what it leaves out is about exp(-reach), 5e-12."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gaussian:
    """What the distance sees of a set of vectors."""

    mean: NDArray[np.float64]
    """(d,)."""
    covariance: NDArray[np.float64]
    """(d, d) with the divisor n - 1."""
    n: int
    """Vectors it was fitted to."""


def gaussian_of(rows: Rows, *, block: int = BLOCK) -> Gaussian:
    """Mean and covariance of vectors in one pass, without holding them.

    Sums are taken about the mean of the first block: a mean that is large beside the spread costs no digits.

    Args:
        rows: (N, d).
        block: Vectors held at a time.

    Raises:
        ValueError: there are fewer than two vectors.

    >>> made = gaussian_of(np.array([[0.0], [2.0]]))
    >>> made.mean.tolist(), made.covariance.tolist()
    ([1.0], [[2.0]])
    """
    n, width = rows.shape
    if n < 2:
        raise ValueError(f"A covariance needs 2 vectors at least, found {n}.")
    shift, total, squares = np.zeros(width), np.zeros(width), np.zeros((width, width))
    for part, vectors in blocks(rows, block):
        if part.start == 0:
            shift = vectors.mean(axis=0)
        centred = vectors - shift
        total += centred.sum(axis=0)
        squares += centred.T @ centred
    covariance = (squares - np.outer(total, total) / n) / (n - 1)
    return Gaussian(mean=shift + total / n, covariance=covariance, n=n)


def frechet_distance(one: Gaussian, other: Gaussian) -> float:
    """The squared Frechet distance, as FID is reported; at least 0 but for rounding.

    Covariances may be singular, as they are where there are fewer vectors than dimensions.

    >>> one = Gaussian(mean=np.zeros(2), covariance=np.eye(2), n=9)
    >>> frechet_distance(one, Gaussian(mean=np.array([3.0, 0.0]), covariance=4 * np.eye(2), n=9))
    11.0
    """
    few, many = sorted((one, other), key=lambda gaussian: gaussian.n)
    factor = _factor(few.covariance)
    eigenvalues = np.linalg.eigvalsh(factor.T @ many.covariance @ factor)
    overlap = float(np.sqrt(eigenvalues[_positive(eigenvalues)]).sum())
    return _distance(one.mean - other.mean, np.trace(one.covariance) + np.trace(other.covariance), overlap)


def frechet_replicated(
    rows: Rows, groups: NDArray[np.int64], reference: Gaussian, *, num_groups: int | None = None
) -> Replicated:
    """The distance of vectors to a reference, and the same without each group: exact, not linearised.

    Without a group the scatter of the vectors loses a matrix of low rank, the group's own. Where the rank is small
    beside the width its effect on tr (.)^(1/2) needs no further eigenvalues of the whole.

    Args:
        rows: (N, d), read once for the whole and once by groups.
        groups: (N,) the group of each vector, from 0.
        reference: The other side.
        num_groups: G; by default the last group that has a vector.

    Raises:
        ValueError: there are fewer than two vectors.
    """
    count = num_replicates(groups, 2, num_groups)
    whole = gaussian_of(rows)
    factor = _factor(reference.covariance)
    scatter = factor.T @ whole.covariance @ factor * (whole.n - 1)
    eigenvalues, vectors = _positive_eigen(scatter)
    axes = factor @ vectors
    gap, spread = whole.mean - reference.mean, float(np.trace(whole.covariance))
    reference_spread = float(np.trace(reference.covariance))
    overlap = float(np.sqrt(eigenvalues / (whole.n - 1)).sum())
    without = np.empty(count)
    for group in range(count):
        centred = group_rows(rows, groups, group) - whole.mean
        left = whole.n - len(centred)
        total = centred.sum(axis=0)
        # sum over the rest of (x - m')(x - m')^T = whole - sum over the group of x x^T - total total^T / left
        lost = np.vstack([centred, total / np.sqrt(left)])
        rest_spread = (spread * (whole.n - 1) - float((lost**2).sum())) / (left - 1)
        rest_overlap = _root_trace_without(eigenvalues, lost @ axes, left) / np.sqrt(left - 1)
        without[group] = _distance(gap - total / left, rest_spread + reference_spread, rest_overlap)
    return Replicated(value=_distance(gap, spread + reference_spread, overlap), without=without)


def _distance(gap: NDArray[np.float64], spreads: float, overlap: float) -> float:
    return float(gap @ gap + spreads - 2 * overlap)


def _factor(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """F of shape (d, rank) with F F^T = covariance: Cholesky's where there is one, else from the eigenvectors."""
    try:
        return np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
    except np.linalg.LinAlgError:
        eigenvalues, vectors = _positive_eigen(covariance)
        return vectors * np.sqrt(eigenvalues)


def _positive_eigen(matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The eigenvalues of a symmetric matrix that are not zero to rounding, (r,), and their vectors, (d, r)."""
    eigenvalues, vectors = np.linalg.eigh(matrix)
    kept = _positive(eigenvalues)
    return eigenvalues[kept], vectors[:, kept]


def _positive(eigenvalues: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """Which eigenvalues of a matrix are more than rounding, whose root would not be small."""
    rounding = 16 * np.finfo(np.float64).eps * float(np.abs(eigenvalues).max(initial=0.0))
    positive: NDArray[np.bool_] = eigenvalues > rounding
    return positive


def _root_trace_without(eigenvalues: NDArray[np.float64], lost: NDArray[np.float64], num_left: int) -> float:
    """Tr (D - Y^T Y)^(1/2), for what is left of a scatter when vectors leave.

    Args:
        eigenvalues: (r,) diagonal of D, positive.
        lost: (n, r) Y.
        num_left: Vectors that are left: no more than r of them leave a singular matrix, which the quadrature is not for.
    """
    if num_left > len(eigenvalues) > 8 * len(lost):
        return _root_trace_by_quadrature(eigenvalues, lost)
    left = np.linalg.eigvalsh(np.diag(eigenvalues) - lost.T @ lost)
    return float(np.sqrt(left[_positive(left)]).sum())


def _root_trace_by_quadrature(eigenvalues: NDArray[np.float64], lost: NDArray[np.float64]) -> float:
    """The same from sqrt(x) = (2 / pi) integral of x e^u / (x + e^2u) du, at the cost of n^2 r instead of r^3.

    The trapezoidal rule converges exponentially there. At each u, Woodbury's identity gives by how much the resolvent
    of D - Y^T Y exceeds that of D:  tr K^-1 Y R^2 Y^T  with  R = (D + e^2u)^-1,  K = 1 - Y R Y^T.
    """
    top = eigenvalues.max()
    correction = 0.0
    for u in np.arange(-_REACH, _REACH, _STEP) + np.log(top) / 2:
        square = np.exp(2 * u)
        scaled = lost / (eigenvalues + square)
        kernel, vectors = np.linalg.eigh(np.eye(len(lost)) - scaled @ lost.T)
        # K >= e^2u / (top + e^2u) exactly; rounding may say less where D - Y^T Y is nearly singular
        excess = ((vectors.T @ scaled) ** 2).sum(axis=1) / np.maximum(kernel, square / (top + square))
        correction += np.exp(u) * square * float(excess.sum())
    return float(np.sqrt(eigenvalues).sum()) - 2 / np.pi * _STEP * correction
