"""How to sample: the best s_k and eta by step count, and a time grid for each step count, chosen and then measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from selfe_eval.report import cells
from selfe_eval.report.experiment import TextTable
from selfe_eval.report.reference.questions import outcome_of, p_text
from selfe_eval.report.reference.results import (
    GRID,
    GRID_SEARCH,
    SCHEDULES,
    ComparedScore,
    Results,
    compared_score,
)
from selfe_eval.report.reference.variants import difference_cell, score_cell
from selfe_eval.stats.paired import holm

ASKED = (2, 4, 8)
"""The step counts whose time grid is chosen."""

AGAINST = "against_default"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenGrid:
    """The warp that was best with one seed, measured with another."""

    steps: int
    """Number of sampling steps."""
    warp: float | None
    """The chosen one; None: the model's own."""
    searched: ComparedScore
    """With the seed that chose it."""
    measured: ComparedScore
    """With the other seed, against the model's own grid; p adjusted over the step counts asked."""


def schedules_table(results: Results) -> TextTable | None:
    """The best cell of each step count beside the checkpoint's own way; None where nothing was swept."""
    document = results.documents.get(SCHEDULES)
    if document is None:
        return None
    own = {
        row["steps"]: compared_score(row, against=AGAINST) for row in document["cells"] if row["is_default"]
    }
    rows = []
    for row in document["best"]:
        best = compared_score(row, against=AGAINST)
        rows.append(
            (
                str(best.steps),
                row["s_schedule"],
                f"{row['eta']:g}",
                score_cell(best),
                score_cell(own[best.steps]),
                difference_cell(best),
                cells.DASH if best.p_adjusted is None else p_text(best.p_adjusted),
            )
        )
    default, count = document["default"], document["num_comparisons"]
    return TextTable(
        title=(
            f"Best of the sweep by step count, and its difference to the default (s_k {default['s_schedule']}, "
            f"eta {default['eta']:g}); p after Holm over {count} comparisons"
        ),
        headings=("steps", "s_k", "eta", "best", "default", "difference", "p"),
        rows=tuple(rows),
    )


def chosen_grids(results: Results) -> list[ChosenGrid]:
    """For each step count asked: the best warp of the search, as measured with the other seed."""
    search, measured = (_by_warp(results.documents.get(stem)) for stem in (GRID_SEARCH, GRID))
    found = []
    for steps in ASKED:
        scores = {warp: score for (warp, count), score in search.items() if count == steps}
        if not scores:
            continue
        warp = max(scores, key=lambda one: (scores[one].overall.value or 0.0, one is None))
        if (warp, steps) in measured:
            found.append(
                ChosenGrid(steps=steps, warp=warp, searched=scores[warp], measured=measured[warp, steps])
            )
    return _adjusted(found)


def _adjusted(found: Sequence[ChosenGrid]) -> list[ChosenGrid]:
    """The same with p adjusted over them."""
    known = {grid.steps: p for grid in found if (p := _p(grid.measured)) is not None}
    adjusted = dict(zip(known, holm(list(known.values())), strict=True))
    return [
        replace(grid, measured=replace(grid.measured, p_adjusted=adjusted.get(grid.steps))) for grid in found
    ]


def _p(score: ComparedScore) -> float | None:
    return None if score.against is None else score.against.p


def grids_table(found: Sequence[ChosenGrid]) -> TextTable:
    """The warp of each step count, its score with either seed, and the deciding difference."""
    return TextTable(
        title="Q5: warp of the time grid, chosen with run seed 1, measured with run seed 0 (p after Holm over the step counts)",
        headings=("steps", "warp", "with seed 1", "with seed 0", "minus the model's own", "p", "outcome"),
        rows=tuple(
            (
                str(grid.steps),
                "the model's own" if grid.warp is None else f"{grid.warp:g}",
                score_cell(grid.searched),
                score_cell(grid.measured),
                difference_cell(grid.measured),
                cells.DASH if grid.measured.p_adjusted is None else p_text(grid.measured.p_adjusted),
                f"**{outcome_of([grid.measured])}**",
            )
            for grid in found
        ),
    )


def _by_warp(document: Mapping[str, Any] | None) -> dict[tuple[float | None, int], ComparedScore]:
    """(warp, steps) -> score, at the s_k and eta of the default; its own warp is None."""
    if document is None:
        return {}
    default = document["default"]
    own = [
        row for row in document["cells"] if all(row[name] == default[name] for name in ("s_schedule", "eta"))
    ]
    return {(row["warp"], row["steps"]): compared_score(row, against=AGAINST) for row in own}
