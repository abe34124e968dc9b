"""The tables of a page as headings and cells of plain text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from selfe_eval.records import TASKS
from selfe_eval.report import cells
from selfe_eval.report.comparison import Comparison
from selfe_eval.report.comparison_table import (
    WORDS,
    family_note,
    left_out,
    pairing_note,
    row_cells,
    title,
)
from selfe_eval.report.entry import Entry
from selfe_eval.report.evidence import RunEvidence
from selfe_eval.report.html.content import ScoredAlike, ShownRun, scored_alike
from selfe_eval.report.leaderboard import (
    PARTIAL_NOTE,
    caption,
    group_notes,
    held_out_sentence,
    is_ranked,
    rank_cell,
    score_heading,
    steps_cell,
    unscored_sentence,
)
from selfe_eval.report.measures_board import Board, board_notes, boards
from selfe_eval.report.measures_text import sweep_text
from selfe_eval.report.sentences import Claim, claim_sentence, claim_word, measure_claim, summary_claim
from selfe_eval.report.summary import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One answer in a sentence."""

    about: str
    """Which run and metric."""
    outcome: str
    """``monotone``, ``violated`` or ``inconclusive``: decides the colour, which is never all that says it."""
    word: str
    """The outcome, with its delta."""
    sentence: str
    """What is claimed, with its bounds."""
    notes: tuple[str, ...] = ()
    """What else must be known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """A table of numbers as text."""

    caption: str
    """What it shows."""
    headings: tuple[str, ...]
    """Of the columns; the first column names the row."""
    rows: tuple[tuple[str, ...], ...]
    """Cells."""
    is_partial: bool = False
    """Whether it has to be stamped."""
    notes: tuple[str, ...] = ()
    """What the numbers are."""


def verdicts(runs: Sequence[ShownRun]) -> list[Verdict]:
    """The answer of each run about its first metric: GenEval where it was measured."""
    found = []
    for run in runs:
        summary, measures = run.entry.summary, run.entry.measures
        if summary:
            notes = tuple(note for note in (held_out_sentence(summary), unscored_sentence(summary)) if note)
            found.append(
                _verdict(f"{summary.model}, {score_heading(summary)}", summary_claim(summary), notes)
            )
        elif measures:
            claims = [(one.metric, measure_claim(one)) for one in measures.measures]
            named = [(name, claim) for name, claim in claims if claim]
            found += [_verdict(f"{measures.model}, {name}", claim) for name, claim in named[:1]]
    return found


def score_tables(runs: Sequence[ShownRun]) -> list[TextTable]:
    """The leaderboard rows of GenEval, one table for runs that were measured alike."""
    return [_score_table(group) for group in scored_alike(runs)]


def measure_tables(runs: Sequence[ShownRun]) -> list[TextTable]:
    """The other metrics: of one run a row for each step count, of several a table for each metric."""
    found = [run.entry.measures for run in runs if run.entry.measures]
    if len(found) != 1:
        made = boards(found)
        tables = [_board_table(board) for board in made]
        return [*tables[:-1], *(replace(last, notes=tuple(board_notes(made))) for last in tables[-1:])]
    sweep = sweep_text(None, found[0], {})
    columns = (*sweep.lead, *sweep.quality, *sweep.diversity)
    return [
        TextTable(
            caption=sweep.title,
            headings=tuple(column.heading for column in columns),
            rows=tuple(zip(*(column.cells for column in columns), strict=True)),
            is_partial=sweep.is_partial,
            notes=sweep.notes,
        )
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Two runs beside each other."""

    comparison: Comparison
    """B minus A."""
    first: RunEvidence
    """A."""
    second: RunEvidence
    """B."""


def comparison_tables(compared: Compared) -> list[TextTable]:
    """The paired differences of every metric that both runs have."""
    metrics = compared.comparison.metrics
    if not metrics:
        return []
    rows = tuple(
        (title(one.metric), *row_cells(one, row), WORDS[row.outcome]) for one in metrics for row in one.rows
    )
    return [
        TextTable(
            caption="B - A",
            headings=("metric", "steps", "A", "B", "B - A", "95 % interval", "p", "shown"),
            rows=rows,
            is_partial=compared.first.partial or compared.second.partial,
            notes=(
                pairing_note(compared.comparison, compared.first, compared.second),
                *compared.comparison.notes,
                *map(family_note, filter(None, (metrics[:1], metrics[1:]))),
                *(f"{name} is not compared: {why}" for name, why in left_out(compared.comparison).items()),
            ),
        )
    ]


def measure_verdicts(runs: Sequence[ShownRun]) -> list[Verdict]:
    """The answers about the other metrics."""
    return [
        _verdict(f"{run.entry.model}, {one.metric}", claim)
        for run in runs
        if run.entry.measures
        for one in run.entry.measures.measures
        if (claim := measure_claim(one))
    ]


def _verdict(about: str, claim: Claim, notes: tuple[str, ...] = ()) -> Verdict:
    return Verdict(
        about=about,
        outcome=claim.verdict.outcome,
        word=claim_word(claim),
        sentence=claim_sentence(claim),
        notes=notes,
    )


def _score_table(group: Sequence[ScoredAlike]) -> TextTable:
    first = group[0].summary
    scored = [(one.entry, one.summary) for one in group]
    ranked = is_ranked(scored)
    tasks = tuple(cells.SHORT_TASKS[task] for task in TASKS)
    return TextTable(
        caption=f"{score_heading(first)} on {first.suite}",
        headings=(
            "model",
            "steps",
            "NFE",
            *(["rank"] if ranked else []),
            score_heading(first),
            *tasks,
            "s/img",
            "n",
        ),
        rows=tuple(
            _score_row(entry, row, ranked=ranked) for entry, summary in scored for row in summary.rows
        ),
        is_partial=first.partial,
        notes=(*([PARTIAL_NOTE] if first.partial else []), caption(first), *group_notes(scored)),
    )


def _score_row(entry: Entry, row: Row, *, ranked: bool) -> tuple[str, ...]:
    stamp = " PARTIAL" if entry.summary and entry.summary.partial else ""
    tasks = (
        cells.value_and_half_width(row.tasks[task]) if task in row.tasks else cells.DASH for task in TASKS
    )
    return (
        f"{entry.model}{stamp}",
        steps_cell(entry, row),
        cells.DASH if row.nfe is None else str(row.nfe),
        *([rank_cell(entry, row)] if ranked else []),
        cells.value_and_half_width(row.overall),
        *tasks,
        cells.seconds(row.seconds_per_image),
        cells.images(row.overall),
    )


def _board_table(board: Board) -> TextTable:
    columns = (board.models, *board.steps)
    return TextTable(
        caption=board.title,
        headings=tuple(column.heading for column in columns),
        rows=tuple(zip(*(column.cells for column in columns), strict=True)),
        is_partial=board.is_partial,
    )
