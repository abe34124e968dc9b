"""The verb ``leaderboard``: the numbers of runs in one table, for people and for programs."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from selfe_eval.report.published import PublishedRow
    from selfe_eval.report.summary import Summary


class Format(Enum):
    """How the leaderboard is written."""

    RICH = "rich"
    MD = "md"
    CSV = "csv"
    JSON = "json"


def leaderboard(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, in the order to show.")],
    *,
    output_format: Annotated[
        Format, typer.Option("--format", help="A table for the terminal, or markdown, CSV, JSON.")
    ] = Format.RICH,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Show partial runs too, stamped, in a table of their own.")
    ] = False,
    published: Annotated[
        bool, typer.Option("--published/--no-published", help="Show the rows that papers print, unranked.")
    ] = True,
) -> None:
    """Show the scores of runs with intervals and verdicts, and below a rule what papers print.

    Of a single run, also what it says beyond its mean: prompts right, faults, other thresholds, near ties.

    Examples:
      selfe-eval leaderboard results/runs/*
      selfe-eval leaderboard results/runs/* --format md > LEADERBOARD.md
    """
    from selfe_eval.report.published import published_rows
    from selfe_eval.report.summary_file import read_summary

    entries = [(str(run), read_summary(run, allow_partial=allow_partial)) for run in runs]
    rows = published_rows() if published else ()
    chosen = Format.JSON if as_json else output_format
    if chosen is Format.RICH:
        from rich.console import Console

        from selfe_eval.report.details import print_details
        from selfe_eval.report.leaderboard import print_leaderboard

        console = Console()
        print_leaderboard([summary for _, summary in entries], rows, console)
        if len(entries) == 1:
            print_details(entries[0][1], console)
    else:
        typer.echo(_text(chosen, entries, rows), nl=False)


def _text(chosen: Format, entries: list[tuple[str, Summary]], rows: tuple[PublishedRow, ...]) -> str:
    if chosen is Format.MD:
        from selfe_eval.report.markdown import leaderboard_markdown

        return leaderboard_markdown([summary for _, summary in entries], rows)
    if chosen is Format.CSV:
        from selfe_eval.report.as_csv import leaderboard_csv

        return leaderboard_csv(entries, rows)
    from selfe_eval.report.as_json import leaderboard_document

    return json.dumps(leaderboard_document(entries, rows), allow_nan=False) + "\n"
