"""Which numbers a set of feature vectors gives against a reference, and how each is computed.

What several metrics share is computed once: what is known of the reference for all step counts, and the neighbours of
the vectors for precision, recall, density and coverage.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfe_eval.score.fidelity.frechet import Gaussian, frechet_replicated, gaussian_of
from selfe_eval.score.fidelity.kernel_distance import (
    SCALE,
    SIGMA,
    Estimator,
    Kernel,
    KernelSum,
    kernel_replicated,
    kernel_sum,
)
from selfe_eval.score.fidelity.manifold import (
    DENSITY_NEIGHBOR,
    NEIGHBOR,
    Balls,
    balls_of,
    manifold_replicated,
)
from selfe_eval.score.fidelity.replicates import Replicated
from selfe_eval.score.fidelity.rows import Rows

FRECHET = ("fid", "clean-fid", "fd-dinov2")
"""Metrics to which mean and covariance of the reference are enough."""

_KERNELS: dict[str, tuple[Kernel, Estimator]] = {
    "kid": ("polynomial", "unbiased"),
    "cmmd": ("gaussian", "biased"),
}
_NEIGHBORS = {
    "precision": NEIGHBOR,
    "recall": NEIGHBOR,
    "density": DENSITY_NEIGHBOR,
    "coverage": DENSITY_NEIGHBOR,
}


def method_of(metric: str) -> dict[str, Any]:
    """How a metric is computed from features, for its protocol.

    >>> method_of("coverage")
    {'method': 'nearest neighbours', 'k': 5}
    """
    if metric in FRECHET:
        return {"method": "Frechet distance"}
    if metric in _NEIGHBORS:
        return {"method": "nearest neighbours", "k": _NEIGHBORS[metric]}
    kernel, estimator = _KERNELS[metric]
    shape = {"degree": 3} if kernel == "polynomial" else {"sigma": SIGMA}
    return {"method": "MMD^2", "kernel": kernel, **shape, "estimator": estimator, "scale": SCALE[kernel]}


def needs_neighbors(metric: str) -> bool:
    """Whether a metric looks at the neighbours of vectors, whose distance follows from how many there are."""
    return metric in _NEIGHBORS


def fewest(metric: str) -> tuple[int, int]:
    """The least number of images that gives a number, and of images in the reference."""
    return (NEIGHBOR + 1, DENSITY_NEIGHBOR + 1) if metric in _NEIGHBORS else (2, 2)


class Side:
    """A reference as the metrics see it; what they need of it is computed once, where it is asked for."""

    def __init__(self, known: Rows | Gaussian) -> None:
        self._known = known
        self._kernel_sums: dict[Kernel, KernelSum] = {}

    @property
    def rows(self) -> Rows:
        """(M, d) its features."""
        if isinstance(self._known, Gaussian):
            raise TypeError("A reference of statistics has no features.")
        return self._known

    @cached_property
    def gaussian(self) -> Gaussian:
        """Its mean and covariance."""
        return self._known if isinstance(self._known, Gaussian) else gaussian_of(self._known)

    @cached_property
    def balls(self) -> Balls:
        """Its balls of nearest neighbours."""
        return balls_of(self.rows)

    def kernel_sum(self, kernel: Kernel) -> KernelSum:
        """The kernel within it."""
        if kernel not in self._kernel_sums:
            self._kernel_sums[kernel] = kernel_sum(self.rows, kernel)
        return self._kernel_sums[kernel]


def comparison(
    metrics: Sequence[str], rows: Rows, groups: NDArray[np.int64], side: Side, *, num_groups: int
) -> dict[str, Replicated]:
    """The numbers of a set of vectors.

    Args:
        metrics: Keys of the table of metrics, all of which need a reference.
        rows: (N, d).
        groups: (N,) the group of each vector.
        side: The reference.
        num_groups: G.

    Returns:
        Metric -> number; others that came with them may be among these.

    Raises:
        ValueError: there are fewer vectors than `fewest` says.
    """
    found: dict[str, Replicated] = {}
    for metric in metrics:
        if metric in found:
            continue
        if metric in FRECHET:
            number = frechet_replicated(rows, groups, side.gaussian, num_groups=num_groups)
            found |= dict.fromkeys(FRECHET, number)
        elif metric in _NEIGHBORS:
            found |= manifold_replicated(rows, groups, side.rows, balls=side.balls, num_groups=num_groups)
        else:
            kernel, estimator = _KERNELS[metric]
            found[metric] = kernel_replicated(
                rows,
                groups,
                side.rows,
                kernel,
                estimator=estimator,
                reference_sum=side.kernel_sum(kernel),
                num_groups=num_groups,
            )
    return found
