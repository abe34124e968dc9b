"""The metrics of runs in a terminal: a sweep of one run over its step counts, and several runs on one leaderboard.

Columns that do not fit beside each other go into further tables, which begin with the same columns again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from selfe_eval.report.leaderboard import PARTIAL_NOTE, VERDICT_STYLES
from selfe_eval.report.measures import MeasureSet
from selfe_eval.report.measures_board import Board, board_notes, boards
from selfe_eval.report.measures_text import Column, sweep_text
from selfe_eval.report.sentences import Claim, claim_sentence, claim_word
from selfe_eval.report.summary import Summary


def print_sweep(
    summary: Summary | None,
    measures: MeasureSet | None,
    not_measured: Mapping[str, str],
    console: Console,
) -> None:
    """Write a run's metrics over its step counts, a verdict for each metric, and what the numbers are.

    Args:
        summary: GenEval's numbers; None where it was not measured.
        measures: Those of the other metrics; None where there are none. One of both is there.
        not_measured: Metric -> why it was left out.
        console: Where to; its width decides how many tables the columns need.
    """
    sweep = sweep_text(summary, measures, not_measured)
    if sweep.is_partial:
        console.print(Text(PARTIAL_NOTE, style="bold red"))
    console.print(Text(sweep.title, style="bold"))
    for columns in _tables(sweep.lead, (sweep.quality, sweep.diversity), console.width):
        console.print(_table(columns))
        console.print()
    for title, claim in sweep.claims:
        console.print(verdict_line(title, claim))
    console.print()
    for note in sweep.notes:
        console.print(Text(note, style="dim"))


def print_measures(entries: Sequence[MeasureSet], console: Console) -> None:
    """Write a table of models and step counts for each metric and each set of runs that were measured alike.

    Args:
        entries: The runs, in the order to show them.
        console: Where to; its width decides how many tables the step counts need.
    """
    found = boards(entries)
    for place, board in enumerate(found):
        console.print()
        if board.is_partial and not (place and found[place - 1].is_partial):
            console.print(Text(PARTIAL_NOTE, style="bold red"))
        _print_board(board, console)
    console.print()
    for note in board_notes(found):
        console.print(Text(note, style="dim"))


def verdict_line(title: str, claim: Claim) -> Text:
    """What a verdict is about, its word in its color, and its sentence."""
    line = Text(f"{title}: ")
    line.append(claim_word(claim), style=VERDICT_STYLES[claim.verdict.outcome])
    line.append(f": {claim_sentence(claim)}")
    return line


def _print_board(board: Board, console: Console) -> None:
    console.print(Text(board.title, style="bold"))
    for columns in _tables((board.models,), (board.steps,), console.width):
        console.print(_table(columns, text_first=True))
    for model, claim in board.claims:
        console.print(verdict_line(model, claim))


def _tables(
    lead: tuple[Column, ...], blocks: Sequence[tuple[Column, ...]], width: int
) -> list[tuple[Column, ...]]:
    """The columns in as few tables as the width allows; a new block begins a new table unless all of it fits."""
    tables: list[tuple[Column, ...]] = []
    for block in filter(None, blocks):
        if tables and _width((*tables[-1], *block)) <= width:
            tables[-1] = (*tables[-1], *block)
            continue
        tables.append(lead)
        for column in block:
            if tables[-1] != lead and _width((*tables[-1], column)) > width:
                tables.append(lead)
            tables[-1] = (*tables[-1], column)
    return tables


def _width(columns: Sequence[Column]) -> int:
    """Characters that a table takes: the longest text of each column, and two between columns."""
    return sum(column.width for column in columns) + 2 * (len(columns) - 1)


def _table(columns: Sequence[Column], *, text_first: bool = False) -> Table:
    table = Table(box=box.HORIZONTALS, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    for place, column in enumerate(columns):
        is_text = text_first and place == 0
        table.add_column(
            Text(column.heading),
            justify="left" if is_text else "right",
            overflow="fold",
            no_wrap=not is_text,
        )
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*map(Text, row))
    return table
