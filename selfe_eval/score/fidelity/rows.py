"""Feature vectors as the distances read them: in blocks, from memory or from files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

BLOCK = 2048
"""Vectors read at a time: what is held in memory does not grow with their number."""


class Rows(Protocol):
    """N feature vectors of width d. An array of shape (N, d) is one."""

    @property
    def shape(self) -> tuple[int, int]:
        """(N, d)."""
        ...

    def __getitem__(self, part: slice, /) -> NDArray[np.floating[Any]]:
        """Some of the vectors, in order."""
        ...


def blocks(rows: Rows, size: int = BLOCK) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """The vectors block by block in double precision, each with its place."""
    for start in range(0, rows.shape[0], size):
        part = slice(start, min(start + size, rows.shape[0]))
        yield part, np.asarray(rows[part], dtype=np.float64)


def group_rows(rows: Rows, groups: NDArray[np.int64], group: int) -> NDArray[np.float64]:
    """The vectors of one group, read run by run of neighbours, in double precision.

    >>> group_rows(np.arange(6.0).reshape(3, 2), np.array([0, 1, 0]), 0).tolist()
    [[0.0, 1.0], [4.0, 5.0]]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], groups == group, [False]])))
    parts = [rows[int(start) : int(stop)] for start, stop in edges.reshape(-1, 2)]
    return np.concatenate([np.zeros((0, rows.shape[1])), *parts], dtype=np.float64)
