"""Feature vectors as the distances read them: in blocks, from memory or from files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

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

    def __getitem__(self, part: slice, /) -> NDArray[np.float32]:
        """Some of the vectors, in order."""
        ...


def blocks(rows: Rows, size: int = BLOCK) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """The vectors block by block in double precision, each with its place."""
    for start in range(0, rows.shape[0], size):
        part = slice(start, min(start + size, rows.shape[0]))
        yield part, np.asarray(rows[part], dtype=np.float64)
