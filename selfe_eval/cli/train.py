"""``selfe-eval train``: train a bundled model or judge from scratch, or go on where it stopped."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from selfe_eval.errors import UsageError


def train(
    preset: Annotated[str, typer.Argument(help="What to train; `selfe-eval train list` shows all presets.")],
    out: Annotated[
        Path, typer.Option(help="Folder of all training runs; the preset gets a folder in it.")
    ] = Path("runs/train"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int, typer.Option(help="CPU threads; 0 leaves torch's choice.", min=0)] = 0,
) -> None:
    """Train a preset; the same command goes on after an interruption.

    Example: selfe-eval train selfe-tiny --out runs/train
    """
    from selfe_eval.train.presets import PRESETS, TrainingJob, run_preset

    if preset == "list":
        for name, entry in PRESETS.items():
            typer.echo(f"{name:24}{entry.about}")
        return
    import torch

    from selfe_eval.devices import resolve_device

    if threads:
        torch.set_num_threads(threads)
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; expected a folder (it is made if it is not there).")
    try:
        with PhaseDisplay() as display:
            job = TrainingJob(folder=out / preset, device=resolve_device(device), on_phase=display.show)
            folder = run_preset(preset, job)
    except KeyboardInterrupt:
        again = [
            "selfe-eval",
            "train",
            preset,
            "--out",
            str(out),
            "--device",
            device,
            "--threads",
            str(threads),
        ]
        raise KeyboardInterrupt(
            f"Interrupted. The state that was saved last is kept in {out}. Go on with: {shlex.join(again)}"
        ) from None
    typer.echo(str(folder))


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
            disable=not self._console.is_terminal,
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
        if not self._console.is_terminal and twentieth != self._printed.get(phase):
            self._printed[phase] = twentieth
            typer.echo(f"{phase}: {done}/{total}  {text}", err=True)
