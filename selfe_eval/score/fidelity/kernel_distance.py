"""The squared maximum mean discrepancy between two sets of feature vectors: KID and CMMD.

    MMD^2 = mean k(x, x') + mean k(y, y') - 2 mean k(x, y)      (Gretton et al. 2012, eq. 2 to 5)

``unbiased`` takes the first two means over pairs of different vectors: near 0, and often below, where both sets come
from one distribution. ``biased`` takes them over all pairs, and is never below 0.

KID (Binkowski et al. 2018) has the polynomial kernel and is unbiased. CMMD (Jayasumana et al. 2024) has the Gaussian
kernel on vectors of length one; google-research/cmmd computes it biased, though its abstract says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from selfe_eval.score.fidelity.replicates import Replicated, num_replicates
from selfe_eval.score.fidelity.rows import BLOCK, Rows, blocks, group_rows

Kernel = Literal["polynomial", "gaussian"]
"""(x.y / d + 1)^3 of KID, or exp(-|x - y|^2 / (2 sigma^2)) of CMMD between vectors of length one."""

Estimator = Literal["unbiased", "biased"]
"""See the top of the file."""

SIGMA = 10.0
"""Width of the Gaussian kernel: of CMMD."""

SCALE: dict[Kernel, float] = {"polynomial": 1.0, "gaussian": 1000.0}
"""What MMD^2 is multiplied with: CMMD is reported in thousandths."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelSum:
    """The kernel within one set of vectors."""

    total: float
    """Over all ordered pairs, each vector with itself included."""
    diagonal: float
    """Over each vector with itself."""
    n: int
    """Vectors."""

    def mean(self, estimator: Estimator) -> float:
        """Over all ordered pairs, or over those of different vectors."""
        if estimator == "biased":
            return self.total / self.n**2
        return (self.total - self.diagonal) / (self.n * (self.n - 1))


def kernel_sum(rows: Rows, kernel: Kernel, *, block: int = BLOCK) -> KernelSum:
    """The kernel within a set, (N, d): for a reference, computed once for all that is compared with it.

    >>> kernel_sum(np.array([[0.0], [1.0]]), "polynomial")
    KernelSum(total=11.0, diagonal=9.0, n=2)
    """
    by_row, diagonal = _sums_within(rows, kernel, block)
    return KernelSum(total=float(by_row.sum()), diagonal=float(diagonal.sum()), n=rows.shape[0])


def kernel_replicated(
    rows: Rows,
    groups: NDArray[np.int64],
    reference: Rows,
    kernel: Kernel,
    *,
    estimator: Estimator = "unbiased",
    reference_sum: KernelSum | None = None,
    num_groups: int | None = None,
    block: int = BLOCK,
) -> Replicated:
    """MMD^2 between vectors and a reference, times SCALE, and the same without each group: exact.

    A group's share of all sums is known from the sums of its rows and from the kernel within the group, so leaving it
    out costs nothing. Sets may be of different sizes.

    Args:
        rows: (N, d).
        groups: (N,) the group of each vector, from 0.
        reference: (M, d).
        kernel: Which kernel.
        estimator: ``unbiased`` or ``biased``.
        reference_sum: ``kernel_sum(reference, kernel)`` where it is known already.
        num_groups: G; by default the last group that has a vector.
        block: Vectors of either side held at a time.

    Raises:
        ValueError: there are fewer than two vectors in a set.
    """
    count = num_replicates(groups, 2, num_groups)
    own_reference = reference_sum or kernel_sum(reference, kernel, block=block)
    if own_reference.n < 2:
        raise ValueError(f"The reference needs 2 vectors at least, found {own_reference.n}.")
    by_row, diagonal = _sums_within(rows, kernel, block)
    across = _sums_across(rows, reference, kernel, block)

    def distance(within: KernelSum, between: float) -> float:
        means = within.mean(estimator) + own_reference.mean(estimator)
        return SCALE[kernel] * (means - 2 * between / (within.n * own_reference.n))

    whole = KernelSum(total=float(by_row.sum()), diagonal=float(diagonal.sum()), n=len(groups))
    without = np.empty(count)
    for group in range(count):
        mine = groups == group
        vectors = _prepared(group_rows(rows, groups, group), kernel)
        inner = float(_kernel(vectors, vectors, kernel).sum())
        rest = KernelSum(
            total=whole.total - 2 * float(by_row[mine].sum()) + inner,
            diagonal=whole.diagonal - float(diagonal[mine].sum()),
            n=whole.n - len(vectors),
        )
        without[group] = distance(rest, float(across[~mine].sum()))
    return Replicated(value=distance(whole, float(across.sum())), without=without)


def _sums_within(rows: Rows, kernel: Kernel, block: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N,) the kernel of each vector with all, and (N,) with itself. Each pair of blocks is looked at once."""
    by_row, diagonal = np.zeros(rows.shape[0]), np.zeros(rows.shape[0])
    for part, vectors in blocks(rows, block):
        prepared = _prepared(vectors, kernel)
        for other_part, others in blocks(rows, block):
            if other_part.start > part.start:
                break
            values = _kernel(prepared, _prepared(others, kernel), kernel)
            by_row[part] += values.sum(axis=1)
            if other_part.start < part.start:
                by_row[other_part] += values.sum(axis=0)
            else:
                diagonal[part] = values.diagonal()
    return by_row, diagonal


def _sums_across(rows: Rows, reference: Rows, kernel: Kernel, block: int) -> NDArray[np.float64]:
    """(N,) the kernel of each vector with all of the reference."""
    sums = np.zeros(rows.shape[0])
    for part, vectors in blocks(rows, block):
        prepared = _prepared(vectors, kernel)
        for _, others in blocks(reference, block):
            sums[part] += _kernel(prepared, _prepared(others, kernel), kernel).sum(axis=1)
    return sums


def _prepared(vectors: NDArray[np.float64], kernel: Kernel) -> NDArray[np.float64]:
    """The vectors as the kernel takes them: the Gaussian one at length one (a zero vector stays)."""
    if kernel == "polynomial":
        return vectors
    lengths = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    scaled: NDArray[np.float64] = vectors / np.maximum(lengths, np.finfo(np.float64).tiny)
    return scaled


def _kernel(vectors: NDArray[np.float64], others: NDArray[np.float64], kernel: Kernel) -> NDArray[np.float64]:
    """(B, C) between vectors (B, d) and (C, d)."""
    products = vectors @ others.T
    if kernel == "polynomial":
        base = products / vectors.shape[1] + 1.0
        cubes: NDArray[np.float64] = base * base * base
        return cubes
    squares = (vectors**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2 * products
    gaussian: NDArray[np.float64] = np.exp(-np.maximum(squares, 0.0) / (2 * SIGMA**2))
    return gaussian
