"""The verb ``leaderboard``: the numbers of runs in one table, with ranks that have ties, for people and for programs."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfe_eval.cli.terminal import talk

if TYPE_CHECKING:
    from selfe_eval.report.entry import Entry
    from selfe_eval.report.published import PublishedRow
    from selfe_eval.report.published_ablations import PublishedAblation

    Rows = tuple[PublishedRow, ...]
    Ablations = tuple[PublishedAblation, ...]


class Format(Enum):
    """How the leaderboard is written."""

    RICH = "rich"
    MD = "md"
    HTML = "html"
    CSV = "csv"
    JSON = "json"


def leaderboard(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, in the order to show.")],
    *,
    output_format: Annotated[
        Format,
        typer.Option("--format", help="A table for the terminal, or markdown, one HTML page, CSV, JSON."),
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

    Metrics beside GenEval follow in tables of their own, one for each metric and protocol. Of a single run, also what
    it says beyond its mean: prompts right, faults, other thresholds, near ties.

    Runs that were measured alike are ranked at each step count, with ties: those that share a letter are not shown to
    differ, paired by prompt and image. That takes their single scores; a summary alone is shown without a rank.

    Examples:
      selfe-eval leaderboard results/runs/*
      selfe-eval leaderboard results/runs/* --format md > LEADERBOARD.md
      selfe-eval leaderboard results/runs/* --format html > leaderboard.html
    """
    from selfe_eval.report.entry import read_entry
    from selfe_eval.report.libraries import library_note
    from selfe_eval.report.published import published_rows
    from selfe_eval.report.published_ablations import published_ablations
    from selfe_eval.report.ranks import ranked

    entries = ranked([read_entry(run, allow_partial=allow_partial) for run in runs])
    releases = library_note([(entry.model, entry.libraries) for entry in entries])
    if releases:
        talk(f"note: {releases}")
    beside = published and any(entry.summary for entry in entries)
    rows = published_rows() if beside else ()
    ablations = published_ablations() if beside else ()
    chosen = Format.JSON if as_json else output_format
    if chosen is Format.RICH:
        _print(entries, rows, ablations)
    else:
        typer.echo(_text(chosen, entries, rows, ablations), nl=False)


def _print(entries: list[Entry], rows: Rows, ablations: Ablations) -> None:
    from rich.console import Console

    from selfe_eval.report.details import print_details
    from selfe_eval.report.experiment import print_report
    from selfe_eval.report.leaderboard import print_leaderboard
    from selfe_eval.report.measures_table import print_measures
    from selfe_eval.report.published_ablations import ablations_report

    console = Console()
    summaries = [entry.summary for entry in entries if entry.summary]
    print_leaderboard(entries, rows, console)
    if len(entries) == len(summaries) == 1:
        print_details(summaries[0], console)
    print_measures([entry.measures for entry in entries if entry.measures], console)
    if ablations:
        console.print()
        print_report(ablations_report(ablations), console)


def _text(chosen: Format, entries: list[Entry], rows: Rows, ablations: Ablations) -> str:
    if chosen is Format.MD:
        from selfe_eval.report.measures_markdown import entries_markdown

        return entries_markdown(entries, rows, ablations)
    if chosen is Format.HTML:
        from selfe_eval.report.leaderboard_html import leaderboard_html

        return leaderboard_html(entries, rows, ablations)
    if chosen is Format.CSV:
        from selfe_eval.report.as_csv import leaderboard_csv

        return leaderboard_csv(entries, rows, ablations)
    from selfe_eval.report.as_json import leaderboard_document

    return json.dumps(leaderboard_document(entries, rows, ablations), allow_nan=False) + "\n"
