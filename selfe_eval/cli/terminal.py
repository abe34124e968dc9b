"""Talk to the person, on stderr only: bars on a terminal, plain lines elsewhere; rich honours NO_COLOR.

For clusters SELFE_EVAL_LOG changes that: ``quiet`` says nothing but errors, ``json`` says one JSON object a line, always
with the keys ``time``, ``stage``, ``done``, ``total`` and ``detail``. Annotations in a job of GitHub Actions stay as they are.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Literal, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from selfe_eval.pipeline.progress import Silence
from selfe_eval.provenance import now

LogMode = Literal["text", "quiet", "json"]
"""How stderr is written."""

LOG_VARIABLE = "SELFE_EVAL_LOG"
"""Where the mode stands."""

LINE_SECONDS = 10.0
"""Least time between two plain progress lines of one stage."""

Advance = Callable[[int, str], None]


def log_mode() -> LogMode:
    """What SELFE_EVAL_LOG asks for; anything unknown is text."""
    asked = os.environ.get(LOG_VARIABLE)
    return asked if asked in {"quiet", "json"} else "text"  # type: ignore[return-value]


def talk(message: str) -> None:
    """One line, or one paragraph, to the person."""
    if log_mode() == "json":
        _event("message", detail=message)
    elif log_mode() == "text":
        _say(message)


def complain(message: str) -> None:
    """An error, which is said in every mode."""
    if log_mode() == "json":
        _event("error", detail=message.removeprefix("error: "))
    else:
        _say(message)


def command(line: str) -> None:
    """A line for the program that runs the job, which reads it as it is: in every mode."""
    _say(line)


def _event(stage: str, *, done: int | None = None, total: int | None = None, detail: str = "") -> None:
    """One JSON object on a line of its own."""
    fields = {"time": now(), "stage": stage, "done": done, "total": total, "detail": detail}
    _say(json.dumps(fields, ensure_ascii=False))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - stderr is talk


class BarProgress:
    """A bar for each stage, on a terminal; however the stage ends, the terminal is left in order."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextlib.contextmanager
    def stage(self, name: str, *, total: int, done: int) -> Iterator[Advance]:
        """Show a bar that begins at ``done``."""
        columns = (
            TextColumn("{task.description:<9}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}"),
        )
        with Progress(*columns, console=self._console) as bars:
            task = bars.add_task(name, total=total, completed=done, detail="")
            yield lambda count, detail: bars.update(task, advance=count, detail=detail)


class JsonProgress:
    """A JSON object at the beginning and the end of a stage, and every few seconds between."""

    @contextlib.contextmanager
    def stage(self, name: str, *, total: int, done: int) -> Iterator[Advance]:
        """Say how many images are there, now and then, and how many there are at the end."""
        _event(name, done=done, total=total, detail="begin")
        last = time.monotonic()

        def advance(count: int, detail: str) -> None:
            nonlocal last, done
            done += count
            if time.monotonic() - last >= LINE_SECONDS:
                last = time.monotonic()
                _event(name, done=done, total=total, detail=detail)

        try:
            yield advance
        finally:
            _event(name, done=done, total=total, detail="end")


class LineProgress:
    """A plain line at the beginning and the end of a stage, and every few seconds between."""

    @contextlib.contextmanager
    def stage(self, name: str, *, total: int, done: int) -> Iterator[Advance]:
        """Say what is there, how far it is now and then, and how far it came."""
        talk(f"{name}: {done} of {total} images are there")
        begin = last = time.monotonic()
        made = 0

        def advance(count: int, detail: str) -> None:
            nonlocal last, made
            made += count
            now = time.monotonic()
            if now - last >= LINE_SECONDS:
                last = now
                rate = made / max(now - begin, 1e-9)
                talk(f"{name}: {done + made} of {total} ({detail}, {rate:.1f} images a second)")

        try:
            yield advance
        finally:
            if made:
                talk(f"{name}: {done + made} of {total} in {time.monotonic() - begin:.0f} s")


def stage_progress() -> BarProgress | LineProgress | JsonProgress | Silence:
    """What SELFE_EVAL_LOG asks for; else bars where stderr is a terminal, and lines where it is none."""
    if log_mode() == "json":
        return JsonProgress()
    if log_mode() == "quiet":
        return Silence()
    console = Console(stderr=True)
    return BarProgress(console) if console.is_terminal else LineProgress()


class PhaseDisplay:
    """One progress bar for each phase on a terminal; a line now and then elsewhere. Talks on stderr."""

    PLAIN_LINES = 20
    """Lines for each phase where there is no terminal."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[metrics]}"),
            console=self._console,
            disable=not self._console.is_terminal or log_mode() != "text",
        )
        self._tasks: dict[str, TaskID] = {}
        self._printed: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, phase: str, done: int, total: int, metrics: dict[str, float]) -> None:
        """Progress of a phase: ``done`` of ``total``, with the latest metrics."""
        text = "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        if phase not in self._tasks:
            self._tasks[phase] = self._progress.add_task(phase, total=total, metrics="")
        self._progress.update(self._tasks[phase], completed=done, total=total, metrics=text)
        twentieth = done * self.PLAIN_LINES // max(1, total)
        if self._progress.disable and twentieth != self._printed.get(phase):
            self._printed[phase] = twentieth
            if log_mode() == "json":
                _event(phase, done=done, total=total, detail=text)
                return
            talk(f"{phase}: {done}/{total}  {text}".rstrip())
