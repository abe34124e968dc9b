"""Talk to the person, on stderr only: bars on a terminal, plain lines elsewhere; rich honours NO_COLOR."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

LINE_SECONDS = 10.0
"""Least time between two plain progress lines of one stage."""


def talk(message: str) -> None:
    """One line, or one paragraph, to the person."""
    print(message, file=sys.stderr, flush=True)  # noqa: T201 - stderr is talk


class BarProgress:
    """A bar for each stage, on a terminal."""

    def __init__(self, console: Console) -> None:
        self._bars = Bars(
            TextColumn("{task.description:<9}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}"),
            console=console,
        )
        self._task = TaskID(0)

    def start(self, stage: str, *, total: int, done: int) -> None:
        """Show a bar."""
        self._bars.start()
        self._task = self._bars.add_task(stage, total=total, completed=done, detail="")

    def advance(self, count: int, detail: str) -> None:
        """Move it."""
        self._bars.update(self._task, advance=count, detail=detail)

    def finish(self) -> None:
        """Leave it as it is."""
        self._bars.stop()


class LineProgress:
    """A plain line at the begin and the end of a stage, and every few seconds between."""

    def __init__(self) -> None:
        self._stage, self._total, self._done = "", 0, 0
        self._begin = self._last = 0.0
        self._done_before = 0

    def start(self, stage: str, *, total: int, done: int) -> None:
        """Say what is there already."""
        self._stage, self._total, self._done, self._done_before = stage, total, done, done
        self._begin = self._last = time.monotonic()
        talk(f"{stage}: {done} of {total} images are there")

    def advance(self, count: int, detail: str) -> None:
        """Say how far it is, if the last line is old enough."""
        self._done += count
        now = time.monotonic()
        if now - self._last >= LINE_SECONDS:
            self._last = now
            rate = (self._done - self._done_before) / (now - self._begin)
            talk(f"{self._stage}: {self._done} of {self._total} ({detail}, {rate:.1f} images a second)")

    def finish(self) -> None:
        """Say how many there are and how long it took."""
        if self._done > self._done_before:
            seconds = time.monotonic() - self._begin
            talk(f"{self._stage}: {self._done} of {self._total} in {seconds:.0f} s")


def stage_progress() -> BarProgress | LineProgress:
    """Bars where stderr is a terminal, else lines."""
    console = Console(stderr=True)
    return BarProgress(console) if console.is_terminal else LineProgress()
