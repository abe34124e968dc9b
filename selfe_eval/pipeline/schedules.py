"""Sweep the sampler's second time s_k, its eta and the warp of its times (Self-E, S.11, S.3.1 and Fig. S.4).

Files: ``schedules.json`` (the plan, written first), ``runs/CELL/`` (an ordinary run folder for each way to sample),
``result.json`` (the document of ``--json``) and, where s_k or eta vary, ``heat-steps-NNN.png``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from selfe_eval import provenance
from selfe_eval.errors import UsageError
from selfe_eval.generate.checkpoints import CONFIG_FILE, CheckpointFolder
from selfe_eval.pipeline.experiment import RUNS_FOLDER, measure_checkpoint, planned_experiment
from selfe_eval.pipeline.instruments import GENEVAL, Instruments
from selfe_eval.pipeline.jobs import CheckpointJob
from selfe_eval.pipeline.progress import Progress
from selfe_eval.pipeline.score import Scorer
from selfe_eval.report.experiment import ExperimentReport
from selfe_eval.report.schedules import (
    Cell,
    has_heat_map,
    schedule_grid,
    schedule_heat_map,
    schedules_report,
)
from selfe_eval.report.scored_run import read_scored_run
from selfe_eval.runs.atomic import atomic_write, atomic_write_json

PLAN_FILE = "schedules.json"
RESULT_FILE = "result.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What to sweep."""

    base: CheckpointJob
    """Everything but the swept options: checkpoint, prompts, step counts, images, and other overrides."""
    s_schedules: tuple[str, ...]
    """In the order to show them."""
    etas: tuple[float, ...]
    """In the order to draw them."""
    warps: tuple[float | None, ...] = (None,)
    """In the order to draw them; None: the checkpoint's own."""
    default: Cell = field(init=False)
    """The checkpoint's own way."""
    cells: tuple[Cell, ...] = field(init=False)
    """Every way to sample, the default first."""

    def __post_init__(self) -> None:
        default = default_cell(self.base.checkpoint)
        swept = (
            Cell(s_schedule=s, eta=eta, warp=warp)
            for s in self.s_schedules
            for eta in self.etas
            for warp in self.warps
        )
        object.__setattr__(self, "default", default)
        object.__setattr__(self, "cells", tuple(dict.fromkeys([default, *swept])))

    def plan(self) -> dict[str, Any]:
        """Everything that decides the result, as ``schedules.json`` has it; warps only where other ones are swept."""
        record = self.base.record()
        return {
            "experiment": "schedules",
            "spec": record.spec.as_json(),
            "s_schedules": list(self.s_schedules),
            "etas": list(self.etas),
            **({} if self.warps == (None,) else {"warps": list(self.warps)}),
        }

    def folder_name(self) -> str:
        """Of the default folder: the same command finds it again."""
        return f"schedules-{self.base.checkpoint.name}-{provenance.json_sha256(self.plan())[:8]}"

    def job(self, cell: Cell) -> CheckpointJob:
        """The run of one cell."""
        overrides = replace(self.base.overrides, s_schedule=cell.s_schedule, eta=cell.eta, warp=cell.warp)
        return replace(self.base, overrides=overrides)


def default_cell(checkpoint: CheckpointFolder) -> Cell:
    """How a checkpoint is sampled when nobody says otherwise.

    Raises:
        UsageError: its ``config.json`` does not say.
    """
    try:
        sampler = checkpoint.config["sampler"]
        return Cell(s_schedule=_as_typed(sampler["s_schedule"]), eta=float(sampler["eta"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{checkpoint.folder / CONFIG_FILE} does not say how the checkpoint is sampled: expected 'sampler' with "
            f"'s_schedule' and 'eta', found {checkpoint.config.get('sampler')!r}. Write it again with `selfe-eval train`."
        ) from error


def run_sweep(
    sweep: Sweep,
    folder: Path,
    *,
    load_scorer: Callable[[], Scorer],
    progress: Progress,
    announce: Callable[[str], None],
) -> ExperimentReport:
    """Draw and score what is missing of every cell, and compare.

    Args:
        sweep: What to sweep.
        folder: Where to; made if missing.
        load_scorer: Called once, after the folder has been seen to take files.
        progress: Told about every batch.
        announce: Told which cell comes next.

    Raises:
        UsageError: the folder cannot be written or holds something else, or the judge cannot be loaded.
        UntrustworthyError: planned images are left without a score.
    """
    with planned_experiment(folder, PLAN_FILE, sweep.plan()):
        instruments = Instruments(metrics=(GENEVAL,), measured=(), scorer=load_scorer())
        runs = {}
        for number, cell in enumerate(sweep.cells, start=1):
            announce(f"{number} of {len(sweep.cells)}: {cell.label}")
            own = folder / RUNS_FOLDER / _folder_name(cell)
            measure_checkpoint(sweep.job(cell), own, instruments, progress)
            runs[cell] = (str(own), read_scored_run(own, allow_partial=True))
        grid = schedule_grid(runs, sweep.default, sweep.base.suite)
        report = schedules_report(grid)
        atomic_write_json(folder / RESULT_FILE, report.document)
        for steps in grid.steps if has_heat_map(grid) else ():
            atomic_write(folder / f"heat-steps-{steps:03d}.png", schedule_heat_map(grid, steps))
    return report


def _folder_name(cell: Cell) -> str:
    way = f"s-{cell.s_schedule.replace(',', '_')}-eta-{cell.eta:g}"
    return way if cell.warp is None else f"{way}-warp-{cell.warp:g}"


def _as_typed(schedule: str | float | Iterable[float]) -> str:
    """A sampler's s_schedule as the command line has it."""
    if isinstance(schedule, str):
        return schedule
    if isinstance(schedule, int | float):
        return f"{schedule:g}"
    return ",".join(f"{time:g}" for time in schedule)
