"""Are generated vectors where real ones are, and are real ones where generated ones are? Precision, recall, density, coverage.

Each vector of a set stands for the ball that reaches its k-th nearest neighbour in that set.

    precision   share of generated vectors in some real ball              k = 3, Kynkaanniemi et al. 2019, eq. 1 and 2
    recall      share of real vectors in some generated ball              k = 3, the same
    density     mean number of real balls a generated vector is in, / k   k = 5, Naeem et al. 2020, eq. 4
    coverage    share of real balls with a generated vector in them       k = 5, the same, eq. 5

Precision and recall count the surface of a ball in, as torch-fidelity does; density and coverage do not, as the
``prdc`` package. Density may exceed 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selfe_eval.score.fidelity.replicates import Replicated, num_replicates
from selfe_eval.score.fidelity.rows import Rows, blocks

BLOCK = 512
"""Vectors whose distances to all others are held at a time."""

NEIGHBOR = 3
"""k of precision and recall."""

DENSITY_NEIGHBOR = 5
"""k of density and coverage."""

_SAME = 1e-13
"""Squared distances below this share of the squared lengths are 0: rounding between copies of one vector."""

_SURFACE = 1e-9
"""Half the thickness of a ball's surface, as a share of its squared radius. Where images of the reference come back,
distances are equal to radii, and rounding must not decide."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Balls:
    """The real balls: squared radii of all vectors of a reference."""

    wide: NDArray[np.float64]
    """(M,) to the third neighbour: of precision."""
    wider: NDArray[np.float64]
    """(M,) to the fifth neighbour: of density and coverage."""


def balls_of(reference: Rows, *, block: int = BLOCK) -> Balls:
    """The balls of a reference (M, d): computed once for all that is compared with it.

    Raises:
        ValueError: there are fewer than six vectors.
    """
    n = reference.shape[0]
    if n <= DENSITY_NEIGHBOR:
        raise ValueError(f"The reference needs {DENSITY_NEIGHBOR + 1} vectors at least, found {n}.")
    radii = np.empty((n, 2))
    for part, squares in _squares_within(reference, block):
        places = (NEIGHBOR - 1, DENSITY_NEIGHBOR - 1)
        radii[part] = np.partition(squares, places, axis=1)[:, places]
    return Balls(wide=radii[:, 0], wider=radii[:, 1])


def manifold_replicated(
    rows: Rows,
    groups: NDArray[np.int64],
    reference: Rows,
    *,
    balls: Balls | None = None,
    num_groups: int | None = None,
    block: int = BLOCK,
) -> dict[str, Replicated]:
    """The four numbers, each with what it is without each group: exact.

    Leaving a group out takes away its own vectors and, for recall, widens the balls of their neighbours.

    Args:
        rows: (N, d) generated.
        groups: (N,) the group of each, from 0.
        reference: (M, d) real.
        balls: ``balls_of(reference)`` where they are known already.
        num_groups: G; by default the last group that has a vector.
        block: Vectors whose distances to all generated ones are held at a time.

    Returns:
        By ``precision``, ``recall``, ``density`` and ``coverage``.

    Raises:
        ValueError: there are fewer than four generated vectors or fewer than six real ones.
    """
    count = num_replicates(groups, NEIGHBOR + 1, num_groups)
    real = balls or balls_of(reference, block=block)
    own = _own_balls(rows, groups, count, block)
    in_wide, in_wider = np.zeros(len(groups), dtype=np.bool_), np.zeros(len(groups))
    recalled, covered = (np.zeros(count + 1) for _ in range(2))
    for part, squares in _squares_across(reference, rows, block):
        in_wide |= (squares <= _outer(real.wide[part, None])).any(axis=0)
        inside = squares < real.wider[part, None] * (1 - _SURFACE)
        in_wider += inside.sum(axis=0)
        covered += _hit(inside, groups, count).sum(axis=0)
        recalled += _recalled(squares, own, groups, count).sum(axis=0)
    return {
        "precision": _mean_without(in_wide, groups, count),
        "recall": _shares(recalled, len(real.wide)),
        "density": _mean_without(in_wider / DENSITY_NEIGHBOR, groups, count),
        "coverage": _shares(covered, len(real.wide)),
    }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _OwnBalls:
    """The generated balls, and those that are wider without some group."""

    radii: NDArray[np.float64]
    """(N,) squared."""
    widened: tuple[tuple[NDArray[np.int64], NDArray[np.float64]], ...]
    """(G,) vectors outside a group whose ball is wider without it, and that squared radius."""


def _own_balls(rows: Rows, groups: NDArray[np.int64], count: int, block: int) -> _OwnBalls:
    radii = np.empty(len(groups))
    balls, left_out, wider = ([np.zeros(0)] for _ in range(3))
    for part, squares in _squares_within(rows, block):
        nearest = np.argpartition(squares, NEIGHBOR - 1, axis=1)[:, :NEIGHBOR]
        radii[part] = np.take_along_axis(squares, nearest, axis=1).max(axis=1)
        if not count:
            continue
        for neighbor_groups in groups[nearest].T:
            other = neighbor_groups != groups[part]
            rest = np.where(groups == neighbor_groups[other, None], np.inf, squares[other])
            balls.append(np.arange(part.start, part.stop)[other])
            left_out.append(neighbor_groups[other])
            wider.append(np.partition(rest, NEIGHBOR - 1, axis=1)[:, NEIGHBOR - 1])
    ball, group, radius = (
        np.concatenate(balls).astype(np.int64),
        np.concatenate(left_out),
        np.concatenate(wider),
    )
    return _OwnBalls(
        radii=radii, widened=tuple((ball[group == one], radius[group == one]) for one in range(count))
    )


def _recalled(
    squares: NDArray[np.float64], own: _OwnBalls, groups: NDArray[np.int64], count: int
) -> NDArray[np.bool_]:
    """(B, 1 + G) whether each real vector is in some generated ball, of all and without each group."""
    found = _hit(squares <= _outer(own.radii), groups, count)
    for group, (balls, radii) in enumerate(own.widened, start=1):
        found[:, group] |= (squares[:, balls] <= _outer(radii)).any(axis=1)
    return found


def _outer(radii: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared radii with the surface."""
    return radii * (1 + _SURFACE)


def _hit(inside: NDArray[np.bool_], groups: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """(B, 1 + G) whether some column of ``inside`` (B, N) holds, among all and among those without each group."""
    by_group = np.empty((len(inside), count), dtype=np.bool_)
    for group in range(count):
        by_group[:, group] = inside[:, groups == group].any(axis=1)
    found = np.empty((len(inside), 1 + count), dtype=np.bool_)
    found[:, 0] = inside.any(axis=1)
    found[:, 1:] = by_group.sum(axis=1, keepdims=True) > by_group
    return found


def _mean_without(values: NDArray[np.generic], groups: NDArray[np.int64], count: int) -> Replicated:
    """The mean of numbers (N,) that do not depend on each other."""
    numbers = values.astype(np.float64)
    sums = np.bincount(groups, numbers, minlength=count)[:count]
    sizes = np.bincount(groups, minlength=count)[:count]
    return Replicated(value=float(numbers.mean()), without=(numbers.sum() - sums) / (len(numbers) - sizes))


def _shares(counts: NDArray[np.float64], n: int) -> Replicated:
    return Replicated(value=float(counts[0] / n), without=counts[1:] / n)


def _squares_within(rows: Rows, block: int) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Squared distances of each block to all (B, N); a vector's own is infinite."""
    for part, squares in _squares_across(rows, rows, block):
        squares[np.arange(len(squares)), np.arange(part.start, part.stop)] = np.inf
        yield part, squares


def _squares_across(rows: Rows, others: Rows, block: int) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Squared distances of each block of ``rows`` to all ``others``, (B, N)."""
    for part, vectors in blocks(rows, block):
        squares = np.empty((len(vectors), others.shape[0]))
        own = (vectors**2).sum(axis=1)[:, None]
        for place, some in blocks(others, block):
            lengths = own + (some**2).sum(axis=1)
            found = lengths - 2 * (vectors @ some.T)
            squares[:, place] = np.where(found > _SAME * lengths, found, 0.0)
        yield part, squares
