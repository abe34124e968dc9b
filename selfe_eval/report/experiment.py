"""The result of an experiment as tables, notes, records and one document, and the formats they are written in."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from selfe_eval.report.markdown import markdown_table

if TYPE_CHECKING:
    from rich.console import Console

_LABEL_COLUMNS = 18
"""Characters of a first column before it is folded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """A table whose first column is text and whose other columns are numbers with their uncertainty."""

    title: str
    """What the numbers are, in one sentence."""
    headings: tuple[str, ...]
    """Of the columns."""
    rows: tuple[tuple[str, ...], ...]
    """As many cells as headings in each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentReport:
    """What an experiment found."""

    tables: tuple[TextTable, ...]
    """For people, in the order to show them."""
    notes: tuple[str, ...]
    """What one has to know to read them, one paragraph each."""
    document: Mapping[str, Any]
    """For programs: JSON types only."""
    records: tuple[Mapping[str, Any], ...]
    """One for each measured number, flat and with the same keys: the lines of the CSV."""


def print_report(report: ExperimentReport, console: Console) -> None:
    """The tables and notes in a terminal."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    for made in report.tables:
        console.print(Text(made.title, style="bold"))
        table = Table(box=box.HORIZONTALS, show_edge=False, padding=(0, 1, 0, 0))
        widest = max((len(row[0]) for row in made.rows), default=0)
        table.add_column(made.headings[0], overflow="fold", min_width=min(widest, _LABEL_COLUMNS))
        for heading in made.headings[1:]:
            table.add_column(heading, justify="right", no_wrap=True)
        for row in made.rows:
            table.add_row(*map(Text, row))
        console.print(table)
        console.print()
    for note in report.notes:
        console.print(Text(note))


def report_markdown(report: ExperimentReport) -> str:
    """The tables and notes as GitHub markdown."""
    blocks = [block for table in report.tables for block in (f"**{table.title}**", _markdown(table))]
    return "\n\n".join([*blocks, *report.notes]) + "\n"


def report_csv(report: ExperimentReport) -> str:
    """The records, one line each; a cell is empty where there is no number."""
    text = io.StringIO()
    headings: Sequence[str] = list(report.records[0]) if report.records else []
    writer = csv.DictWriter(text, headings, lineterminator="\n")
    writer.writeheader()
    writer.writerows(report.records)
    return text.getvalue()


def _markdown(table: TextTable) -> str:
    return markdown_table(table.headings, table.rows)
