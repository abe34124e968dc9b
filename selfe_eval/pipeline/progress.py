"""How stages tell what they are doing. Who listens decides whether it becomes a bar, lines, or nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol

Advance = Callable[[int, str], None]
"""Tells that so many more images are finished and safe on disk, and a word on which ones."""


class Progress(Protocol):
    """A listener for one stage after the other."""

    def stage(self, name: str, *, total: int, done: int) -> contextlib.AbstractContextManager[Advance]:
        """Listen to one stage, however it ends; ``done`` of ``total`` images need no work."""
        ...


class Silence:
    """The listener that says nothing."""

    @contextlib.contextmanager
    def stage(self, name: str, *, total: int, done: int) -> Iterator[Advance]:  # noqa: ARG002 - it is silent
        """Say nothing."""
        yield lambda _count, _detail: None
