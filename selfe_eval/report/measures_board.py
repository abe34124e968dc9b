"""Several runs on one leaderboard: of each metric a table of models and step counts. Nothing is ranked.

Only what was measured alike shares a table: the same metric and protocol, the same suite, the same number of images,
and all of them whole or all of them partial.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfe_eval.metrics import METRICS
from selfe_eval.report import cells
from selfe_eval.report.measures import Measure, MeasureSet
from selfe_eval.report.measures_text import (
    OTHER_PROTOCOL_NOTE,
    PLUS_MINUS_NOTE,
    Column,
    cell,
    measure_notes,
    title_of,
)
from selfe_eval.report.sentences import Claim, measure_claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One metric of runs that were measured alike, as text."""

    title: str
    """Metric, suite and direction."""
    is_partial: bool
    """Whether it has to be stamped."""
    is_other_protocol: bool
    """Whether published numbers of that name are made otherwise."""
    models: Column
    """A row for each run."""
    steps: tuple[Column, ...]
    """A column for each step count that any of them has; a dash where one has not."""
    claims: tuple[tuple[str, Claim], ...]
    """Model -> its verdict."""
    notes: tuple[str, ...]
    """What the numbers are, each once."""


def boards(entries: Sequence[MeasureSet]) -> list[Board]:
    """The tables of these runs, by metric in the order of the table of metrics, then in order of first appearance."""
    order = list(METRICS)
    groups = measured_alike(entries)
    return [_board(group) for group in sorted(groups, key=lambda group: order.index(group[0][1].kind))]


def board_notes(found: Sequence[Board]) -> list[str]:
    """How to read these tables; nothing where there is none."""
    other = [OTHER_PROTOCOL_NOTE] if any(board.is_other_protocol for board in found) else []
    return [PLUS_MINUS_NOTE, *other] if found else []


def measured_alike(entries: Sequence[MeasureSet]) -> list[list[tuple[MeasureSet, Measure]]]:
    """Every metric of every run, those together that may share a table."""
    groups: dict[tuple[object, ...], list[tuple[MeasureSet, Measure]]] = {}
    for run in entries:
        for measure in run.measures:
            sizes = frozenset((row.overall.n, row.overall.n_clusters) for row in measure.rows)
            key = (measure.metric, measure.protocol_sha256, run.suite, run.suite_sha256, run.partial, sizes)
            groups.setdefault(key, []).append((run, measure))
    return list(groups.values())


def _board(group: Sequence[tuple[MeasureSet, Measure]]) -> Board:
    run, measure = group[0]
    counts = sorted({row.steps for _, one in group for row in one.rows})
    stamp = " PARTIAL" if run.partial else ""
    claims = [(one.model, claim) for one, metric in group if (claim := measure_claim(metric))]
    notes = dict.fromkeys(note for _, metric in group for note in measure_notes([metric]))
    return Board(
        title=f"{title_of(measure.metric)} on the suite {run.suite} ({run.suite_sha256[:8]}), by step count",
        is_partial=run.partial,
        is_other_protocol=measure.metric != measure.kind,
        models=Column(heading="model", cells=tuple(f"{one.model}{stamp}" for one, _ in group)),
        steps=tuple(
            Column(heading=_heading(count), cells=tuple(_at(metric, count) for _, metric in group))
            for count in counts
        ),
        claims=tuple(claims),
        notes=tuple(notes),
    )


def _heading(steps: int) -> str:
    return f"{steps} step{'' if steps == 1 else 's'}"


def _at(measure: Measure, steps: int) -> str:
    found = [row for row in measure.rows if row.steps == steps]
    return cell(found[0].overall, measure.unit) if found else cells.DASH
