"""How the three experiments write what they found: the formats of `leaderboard`, and interrupts that name the way on."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfe_eval.cli.leaderboard import Format

if TYPE_CHECKING:
    from selfe_eval.report.experiment import ExperimentReport

OutputFormat = Annotated[
    Format, typer.Option("--format", help="A table for the terminal, or markdown, CSV, JSON.")
]
AsJson = Annotated[bool, typer.Option("--json", help="The same as --format json.")]


def write_report(report: ExperimentReport, chosen: Format) -> None:
    """Write the report on stdout."""
    if chosen is Format.RICH:
        from rich.console import Console

        from selfe_eval.report.experiment import print_report

        print_report(report, Console())
    elif chosen is Format.JSON:
        typer.echo(json.dumps(report.document, allow_nan=False))
    else:
        from selfe_eval.report.experiment import report_csv, report_markdown

        typer.echo(report_markdown(report) if chosen is Format.MD else report_csv(report), nl=False)


def same_command() -> str:
    """The command line of this process, for a message."""
    return shlex.join(["selfe-eval", *sys.argv[1:]])


@contextlib.contextmanager
def interrupted_in(folder: Path) -> Iterator[None]:
    """Turn an interrupt into a message that says what is kept, and the command that goes on.

    Raises:
        KeyboardInterrupt: again, with that message.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"Interrupted. What was finished is kept in {folder}. Go on with: {same_command()}"
        ) from None
