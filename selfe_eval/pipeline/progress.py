"""How stages tell what they are doing. Who listens decides whether it becomes a bar, lines, or nothing."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A listener for one stage after the other."""

    def start(self, stage: str, *, total: int, done: int) -> None:
        """A stage begins: ``done`` of ``total`` images need no work, because a record of them is there."""
        ...

    def advance(self, count: int, detail: str) -> None:
        """So many more images are finished and safe on disk."""
        ...

    def finish(self) -> None:
        """The stage has ended."""
        ...


class Silence:
    """The listener that says nothing."""

    def start(self, stage: str, *, total: int, done: int) -> None:
        """Say nothing."""

    def advance(self, count: int, detail: str) -> None:
        """Say nothing."""

    def finish(self) -> None:
        """Say nothing."""
