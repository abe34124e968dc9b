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
    direction_of,
    measure_notes,
    title_of,
)
from selfe_eval.report.sentences import Claim, measure_claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """One metric of runs that were measured alike, as text."""

    name: str
    """Title of the metric, with a number where there are several boards of it."""
    title: str
    """Name, suite and direction."""
    is_partial: bool
    """Whether it has to be stamped."""
    models: Column
    """A row for each run."""
    steps: tuple[Column, ...]
    """A column for each step count that any of them has; a dash where one has not."""
    measures: tuple[Measure, ...]
    """The metric of each run."""
    claims: tuple[tuple[str, Claim], ...]
    """Model -> its verdict."""


Group = list[tuple[MeasureSet, Measure]]


def boards(entries: Sequence[MeasureSet]) -> list[Board]:
    """The tables of these runs: whole ones before partial ones, then in the order of the table of metrics."""
    order = list(METRICS)
    groups = sorted(
        measured_alike(entries), key=lambda group: (group[0][0].partial, order.index(group[0][1].kind))
    )
    titles = [title_of(group[0][1].metric) for group in groups]
    names = [
        f"{title} ({titles[: place + 1].count(title)})" if titles.count(title) > 1 else title
        for place, title in enumerate(titles)
    ]
    return [_board(name, group) for name, group in zip(names, groups, strict=True)]


def board_notes(found: Sequence[Board]) -> list[str]:
    """What the numbers of these tables are, each note once; nothing where there is no table."""
    if not found:
        return []
    named = [(board.name, measure) for board in found for measure in board.measures]
    other = any(measure.metric != measure.kind for _, measure in named)
    return [PLUS_MINUS_NOTE, *([OTHER_PROTOCOL_NOTE] if other else []), *measure_notes(named)]


def measured_alike(entries: Sequence[MeasureSet]) -> list[Group]:
    """Every metric of every run, those together that may share a table."""
    groups: dict[tuple[object, ...], Group] = {}
    for run in entries:
        for measure in run.measures:
            sizes = frozenset((row.overall.n, row.overall.n_clusters) for row in measure.rows)
            key = (measure.metric, measure.protocol_sha256, run.suite, run.suite_sha256, run.partial, sizes)
            groups.setdefault(key, []).append((run, measure))
    return list(groups.values())


def _board(name: str, group: Group) -> Board:
    run, measure = group[0]
    counts = sorted({row.steps for _, one in group for row in one.rows})
    stamp = " PARTIAL" if run.partial else ""
    direction = direction_of(measure)
    return Board(
        name=name,
        title=f"{name} on the suite {run.suite} ({run.suite_sha256[:8]}){direction and f': {direction}'}",
        is_partial=run.partial,
        models=Column(heading="model", cells=tuple(f"{one.model}{stamp}" for one, _ in group)),
        steps=tuple(
            Column(heading=_heading(count), cells=tuple(_at(metric, count) for _, metric in group))
            for count in counts
        ),
        measures=tuple(metric for _, metric in group),
        claims=tuple((one.model, claim) for one, metric in group if (claim := measure_claim(metric))),
    )


def _heading(steps: int) -> str:
    return f"{steps} step{'' if steps == 1 else 's'}"


def _at(measure: Measure, steps: int) -> str:
    found = [row for row in measure.rows if row.steps == steps]
    return cell(found[0].overall, measure.unit) if found else cells.DASH
