from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from PIL import Image
from rich.console import Console

from selfe_eval.errors import UntrustworthyError
from selfe_eval.records import Suite
from selfe_eval.report.experiment import print_report, report_csv, report_markdown
from selfe_eval.report.heat_map import HeatCell, heat_map
from selfe_eval.report.schedules import (
    Cell,
    ScheduleGrid,
    has_heat_map,
    schedule_grid,
    schedule_heat_map,
    schedules_report,
)
from selfe_eval.report.scored_run import ScoredRun
from selfe_eval.stats.paired import holm

MakeRun = Callable[..., ScoredRun]
DEFAULT, OTHER, NOISELESS = (
    Cell(s_schedule="next", eta=1.0),
    Cell(s_schedule="current", eta=1.0),
    Cell(s_schedule="next", eta=0.0),
)
CURVES: Mapping[Cell, Mapping[int, float]] = {
    DEFAULT: {1: 0.3, 4: 0.6},
    OTHER: {1: 0.3, 4: 0.8},
    NOISELESS: {1: 0.25, 4: 0.6},
}


@pytest.fixture
def grid(make_run: MakeRun, suite: Suite) -> ScheduleGrid:
    runs = {cell: (cell.label, make_run(curve, images=2)) for cell, curve in CURVES.items()}
    return schedule_grid(runs, DEFAULT, suite)


def test_the_best_cell_is_held_against_the_default(grid: ScheduleGrid) -> None:
    """A clear gain at four steps is found, with the paired difference to the default."""
    best = grid.best(4)

    assert best.cell == OTHER
    assert best.against is not None
    assert best.against.delta == pytest.approx(
        (best.overall.value or 0) - (grid.at(DEFAULT, 4).overall.value or 0)
    )
    assert best.p_adjusted is not None
    assert best.p_adjusted < 0.05


def test_among_equals_the_default_is_the_best(make_run: MakeRun, suite: Suite) -> None:
    """A cell that scores as the default does gives no reason to change anything."""
    runs = {cell: (cell.label, make_run({2: 0.5})) for cell in (OTHER, DEFAULT)}

    assert schedule_grid(runs, DEFAULT, suite).best(2).cell == DEFAULT


def test_p_values_are_adjusted_over_the_whole_sweep(grid: ScheduleGrid) -> None:
    """Holm counts every other cell at every step count: here two cells at two step counts."""
    others = [score for score in grid.scores if score.against is not None]
    raw = [score.against.p for score in others if score.against is not None and score.against.p is not None]

    assert grid.num_comparisons == 4
    assert [score.p_adjusted for score in others] == holm(raw)


def test_runs_of_different_judges_are_refused(make_run: MakeRun, suite: Suite) -> None:
    """A cell that another scorer judged is an error, not a number."""
    runs = {
        DEFAULT: ("a", make_run({2: 0.5})),
        OTHER: ("b", make_run({2: 0.5}, scorer={"sha256": "8" * 64})),
    }
    with pytest.raises(UntrustworthyError, match="not measured alike"):
        schedule_grid(runs, DEFAULT, suite)


def test_every_format_shows_every_cell_and_says_what_it_is_not(grid: ScheduleGrid) -> None:
    """Terminal, markdown, CSV and JSON hold the same cells, and the note that the best of many is optimistic."""
    report = schedules_report(grid)
    console = Console(file=io.StringIO(), width=80)
    print_report(report, console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    lines = list(csv.DictReader(io.StringIO(report_csv(report))))

    assert "best of many is optimistic" in shown
    assert "best of many is optimistic" in report_markdown(report)
    assert shown.count("±") > 6
    assert len(lines) == len(report.document["cells"]) == 6
    assert {line["n"] for line in lines} == {"480"}


def test_warps_have_columns_beside_the_checkpoints_own(make_run: MakeRun, suite: Suite) -> None:
    """Where warps vary, a way to sample is a line and a warp a column; the best is named with its warp in every format."""
    early, linear = (replace(DEFAULT, warp=warp) for warp in (-1.0, 0.0))
    curves = {DEFAULT: 0.3, linear: 0.6, early: 0.2, OTHER: 0.4}
    runs = {cell: (cell.label, make_run({4: share}, images=2)) for cell, share in curves.items()}
    made = schedule_grid(runs, DEFAULT, suite)
    report = schedules_report(made)
    best, whole = report.tables

    assert made.best(4).cell == linear
    assert made.warps == [None, -1.0, 0.0]
    assert linear.label == "s_k next, eta 1, warp 0"
    assert best.headings[:5] == ("steps", "s_k", "eta", "warp", "score")
    assert best.rows[0][:4] == ("4", "next", "1", "0")
    assert whole.headings == ("way", "own warp", "warp -1", "warp 0")
    assert [row[0] for row in whole.rows] == ["s_k next, eta 1", "s_k current, eta 1"]
    assert whole.rows[0][1].endswith(" *")
    assert whole.rows[1][2:] == ("-", "-")
    assert [cell["warp"] for cell in report.document["cells"]] == [None, 0.0, -1.0, None]
    assert [line["warp"] for line in csv.DictReader(io.StringIO(report_csv(report)))] == [
        "",
        "0.0",
        "-1.0",
        "",
    ]
    assert report.document["num_comparisons"] == 3
    assert has_heat_map(made)
    assert not has_heat_map(schedule_grid({cell: runs[cell] for cell in (DEFAULT, early)}, DEFAULT, suite))


def test_too_few_prompts_are_said(make_run: MakeRun, suite: Suite) -> None:
    """With one prompt a task there is no interval, and a note says why."""
    runs = {cell: ("r", make_run({2: 0.5}, prompt_ids=tuple(range(0, 240, 40)))) for cell in (DEFAULT, OTHER)}
    report = schedules_report(schedule_grid(runs, DEFAULT, suite))

    assert any("too few for an interval" in note for note in report.notes)
    assert any("PARTIAL" in note for note in report.notes)


def test_a_heat_map_is_a_picture_of_its_grid(grid: ScheduleGrid) -> None:
    """The map of a step count is a PNG with a row for each schedule; a cell that was not measured stays grey."""
    made = Image.open(io.BytesIO(schedule_heat_map(grid, 4)))
    taller = Image.open(
        io.BytesIO(
            heat_map("t", ["a", "b", "c"], ["x"], [[HeatCell(value=v, text="")] for v in (1, 2, None)])
        )
    )

    assert made.format == "PNG"
    assert taller.height > made.height
    assert {(68, 1, 84), (253, 231, 37), (230, 230, 230)} <= {
        pixel for _, pixel in taller.getcolors(1 << 16) or ()
    }
