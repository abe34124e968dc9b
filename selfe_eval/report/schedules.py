"""A sweep of the sampler's free choices, s_k, eta and the warp of the times: each cell against the checkpoint's own way, paired.

The question "is this cell different?" is asked of every other cell at every step count, so the p-values are adjusted
(Holm) over all of them. The best cell of a step count is chosen by the images that score it, and is shown as that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from selfe_eval.errors import UntrustworthyError
from selfe_eval.records import Suite
from selfe_eval.report import cells as text
from selfe_eval.report.comparison import compare
from selfe_eval.report.experiment import ExperimentReport, TextTable
from selfe_eval.report.heat_map import HeatCell, heat_map
from selfe_eval.report.leaderboard import PARTIAL_NOTE, caption
from selfe_eval.report.run_evidence import scored_evidence
from selfe_eval.report.scored_run import ScoredRun
from selfe_eval.report.summary import Summary
from selfe_eval.stats.estimate import Estimate
from selfe_eval.stats.paired import Difference, holm

SCHEMA_VERSION = 1
"""Of the document of ``schedules --json``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One way to sample."""

    s_schedule: str
    """``next``, ``current`` or a number between them."""
    eta: float
    """Share of fresh noise a step."""
    warp: float | None = None
    """Mean shift of the times (S.11); None: the checkpoint's own."""

    @property
    def label(self) -> str:
        """As a sentence names it."""
        way = f"s_k {self.s_schedule}, eta {self.eta:g}"
        return way if self.warp is None else f"{way}, warp {self.warp:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CellScore:
    """One cell at one step count."""

    cell: Cell
    """How the images were drawn."""
    steps: int
    """Number of sampling steps."""
    overall: Estimate
    """The overall score."""
    against: Difference | None
    """This cell minus the default; None for the default itself."""
    p_adjusted: float | None
    """Holm's p over all cells and step counts; None where it is unknown."""
    run: str
    """The run folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleGrid:
    """The whole sweep."""

    default: Cell
    """The checkpoint's own way."""
    scores: tuple[CellScore, ...]
    """Of every cell at every step count."""
    summary: Summary
    """Of the default's run: what was measured with what."""

    @property
    def steps(self) -> list[int]:
        """The step counts, ascending."""
        return sorted({score.steps for score in self.scores})

    @property
    def cells(self) -> list[Cell]:
        """Every way to sample, in the order of the runs."""
        return list(dict.fromkeys(score.cell for score in self.scores))

    @property
    def warps(self) -> list[float | None]:
        """The checkpoint's own warp, and the others ascending."""
        others = {cell.warp for cell in self.cells if cell.warp is not None}
        return [None, *sorted(others)]

    @property
    def num_comparisons(self) -> int:
        """Over which the p-values are adjusted."""
        return sum(score.p_adjusted is not None for score in self.scores)

    def best(self, steps: int) -> CellScore:
        """The cell of the highest score at a step count; the default, then the first, among equals."""
        own = [score for score in self.scores if score.steps == steps]
        return max(own, key=lambda score: (score.overall.value or 0.0, score.cell == self.default))

    def at(self, cell: Cell, steps: int) -> CellScore:
        """The score of a cell at a step count."""
        (found,) = (score for score in self.scores if (score.cell, score.steps) == (cell, steps))
        return found


def schedule_grid(runs: Mapping[Cell, tuple[str, ScoredRun]], default: Cell, suite: Suite) -> ScheduleGrid:
    """Compare every cell with the default, image by image.

    Args:
        runs: Cell -> (its run folder, its scores); the default is among them.
        default: The cell to compare with.
        suite: The prompts of all of them.

    Raises:
        UntrustworthyError: the runs were not measured alike.
    """
    differences: dict[tuple[Cell, int], Difference] = {}
    ours = scored_evidence(runs[default][1], suite)
    for cell, (folder, scored) in runs.items():
        comparison = compare(ours, scored_evidence(scored, suite))
        if comparison.outcome == "not_comparable":
            raise UntrustworthyError(
                f"{folder} cannot be compared with the run of the default. {comparison.reason} Another version of the judge "
                "scored one of them: repeat the sweep with another --out."
            )
        if cell != default:
            differences |= {(cell, row.steps): row.overall for row in comparison.metrics[0].rows}
    known = {place: d.p for place, d in differences.items() if d.p is not None}
    adjusted = dict(zip(known, holm(list(known.values())), strict=True))
    scores = tuple(
        CellScore(
            cell=cell,
            steps=row.steps,
            overall=row.overall,
            against=differences.get((cell, row.steps)),
            p_adjusted=adjusted.get((cell, row.steps)),
            run=folder,
        )
        for cell, (folder, scored) in runs.items()
        for row in scored.summary.rows
    )
    return ScheduleGrid(default=default, scores=scores, summary=runs[default][1].summary)


def schedules_report(grid: ScheduleGrid) -> ExperimentReport:
    """The best cell of each step count, the whole grid, and what both do not say."""
    return ExperimentReport(
        tables=(_best_table(grid), *(_grid_table(grid, steps) for steps in grid.steps)),
        notes=_notes(grid),
        document=_document(grid),
        records=tuple(_record(grid, score) for score in grid.scores),
    )


def schedule_heat_map(grid: ScheduleGrid, steps: int) -> bytes:
    """The scores of a step count as a PNG: schedules down, etas across, the default framed; at the checkpoint's own warp."""
    schedules, etas = _axes(grid)
    own_grid = ", at its own warp" if len(grid.warps) > 1 else ""
    cells = [
        [_heat_cell(grid, _found(grid, Cell(s_schedule=s, eta=eta), steps)) for eta in etas]
        for s in schedules
    ]
    stamp = ", PARTIAL" if grid.summary.partial else ""
    title = (
        f"{grid.summary.model} at {steps} step{'s' if steps > 1 else ''}{own_grid}{stamp}: per cent of images correct\n"
        f"± is half of a 95 % interval; framed: the checkpoint's own way"
    )
    return heat_map(title, [f"s_k {s}" for s in schedules], [f"eta {eta:g}" for eta in etas], cells)


def has_heat_map(grid: ScheduleGrid) -> bool:
    """Whether s_k or eta vary at the checkpoint's own warp."""
    return sum(cell.warp is None for cell in grid.cells) > 1


def _heat_cell(grid: ScheduleGrid, score: CellScore | None) -> HeatCell:
    if score is None:
        return HeatCell(value=None, text="")
    return HeatCell(
        value=score.overall.value,
        text=text.value_and_half_width(score.overall),
        is_framed=score.cell == grid.default,
    )


def _best_table(grid: ScheduleGrid) -> TextTable:
    rows = []
    has_warps = len(grid.warps) > 1
    for steps in grid.steps:
        best, default = grid.best(steps), grid.at(grid.default, steps)
        rows.append(
            (
                str(steps),
                best.cell.s_schedule + (" *" if best.cell == grid.default else ""),
                f"{best.cell.eta:g}",
                *([_warp_text(best.cell.warp)] if has_warps else []),
                text.value_and_half_width(best.overall),
                text.value_and_half_width(default.overall),
                text.DASH if best.against is None else text.signed_points(best.against),
                text.DASH if best.p_adjusted is None else f"{best.p_adjusted:.2g}",
                text.images(best.overall),
            )
        )
    return TextTable(
        title=f"The best of {len(grid.cells)} ways to sample {grid.summary.model}, at each step count (* the default)",
        headings=(
            "steps",
            "s_k",
            "eta",
            *(["warp"] if has_warps else []),
            "score",
            "default",
            "difference",
            "p (Holm)",
            "n",
        ),
        rows=tuple(rows),
    )


def _grid_table(grid: ScheduleGrid, steps: int) -> TextTable:
    """Schedules and etas, or both of them and warps where those vary."""

    def shown(cell: Cell) -> str:
        score = _found(grid, cell, steps)
        if score is None:
            return text.DASH
        return text.value_and_half_width(score.overall) + (" *" if cell == grid.default else "")

    title = f"{steps} step{'s' if steps > 1 else ''} (* the default)"
    schedules, etas = _axes(grid)
    if len(grid.warps) == 1:
        return TextTable(
            title=title,
            headings=("s_k", *(f"eta {eta:g}" for eta in etas)),
            rows=tuple((s, *(shown(Cell(s_schedule=s, eta=eta)) for eta in etas)) for s in schedules),
        )
    ways = dict.fromkeys(replace(cell, warp=None) for cell in grid.cells)
    return TextTable(
        title=title,
        headings=("way", "own warp", *(f"warp {warp:g}" for warp in grid.warps if warp is not None)),
        rows=tuple((way.label, *(shown(replace(way, warp=warp)) for warp in grid.warps)) for way in ways),
    )


def _warp_text(warp: float | None) -> str:
    return "own" if warp is None else f"{warp:g}"


def _notes(grid: ScheduleGrid) -> tuple[str, ...]:
    own_way = (
        f"The default is the checkpoint's own: {grid.default.label}. Differences are paired by prompt and image, with 95 % "
        f"intervals that are not adjusted; p is adjusted (Holm) for all {grid.num_comparisons} comparisons of the sweep."
    )
    optimistic = (
        "The best of many is optimistic: it is chosen by the same images that score it. Before using it, measure it "
        "against the default with another --seed (`selfe-eval geneval`, then `selfe-eval compare`)."
    )
    notes = [PARTIAL_NOTE] if grid.summary.partial else []
    notes += [caption(grid.summary), own_way, optimistic]
    if 1 in grid.steps:
        notes.append(
            "At 1 step there is no noise to add and no time in between, so eta and the warp play no part; `next` then means "
            "the checkpoint's one_step_s, and a number f means s = f t."
        )
    if any(score.overall.se is None for score in grid.scores):
        notes.append(
            "±?: a task has fewer than two prompts, too few for an interval; raise --limit or leave it out."
        )
    return tuple(notes)


def _document(grid: ScheduleGrid) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "model": grid.summary.model,
        "suite": grid.summary.suite,
        "metric": grid.summary.metric,
        "partial": grid.summary.partial,
        "default": asdict(grid.default),
        "num_comparisons": grid.num_comparisons,
        "best": [_score(grid, grid.best(steps)) for steps in grid.steps],
        "cells": [_score(grid, score) for score in grid.scores],
        "notes": list(_notes(grid)),
    }


def _score(grid: ScheduleGrid, score: CellScore) -> dict[str, Any]:
    return {
        "s_schedule": score.cell.s_schedule,
        "eta": score.cell.eta,
        "warp": score.cell.warp,
        "is_default": score.cell == grid.default,
        "steps": score.steps,
        "overall": asdict(score.overall),
        "against_default": None if score.against is None else asdict(score.against),
        "p_adjusted": score.p_adjusted,
        "run": score.run,
    }


def _record(grid: ScheduleGrid, score: CellScore) -> dict[str, Any]:
    overall, against = score.overall, score.against
    low, high = overall.ci or (None, None)
    delta_low, delta_high = (None, None) if against is None or against.ci is None else against.ci
    return {
        "model": grid.summary.model,
        "suite": grid.summary.suite,
        "partial": grid.summary.partial,
        "s_schedule": score.cell.s_schedule,
        "eta": score.cell.eta,
        "warp": score.cell.warp,
        "is_default": score.cell == grid.default,
        "steps": score.steps,
        "value": overall.value,
        "se": overall.se,
        "ci_low": low,
        "ci_high": high,
        "n": overall.n,
        "n_clusters": overall.n_clusters,
        "delta": None if against is None else against.delta,
        "delta_low": delta_low,
        "delta_high": delta_high,
        "p_adjusted": score.p_adjusted,
        "run": score.run,
    }


def _axes(grid: ScheduleGrid) -> tuple[list[str], list[float]]:
    """The schedules in the order asked for, and the etas ascending."""
    found = grid.cells
    return list(dict.fromkeys(cell.s_schedule for cell in found)), sorted({cell.eta for cell in found})


def _found(grid: ScheduleGrid, cell: Cell, steps: int) -> CellScore | None:
    own: Sequence[CellScore] = [s for s in grid.scores if (s.cell, s.steps) == (cell, steps)]
    return own[0] if own else None
