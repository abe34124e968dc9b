"""The verb ``compare``: is run B better than run A, image by image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from selfe_eval.errors import UntrustworthyError


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="The run folder to compare with.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="The run folder in question.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of tables.")] = False,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Compare partial runs on the prompts they share.")
    ] = False,
) -> None:
    """Show B minus A at every step count they share, paired by prompt and image, with intervals.

    Examples:
      selfe-eval compare results/runs/openmoji-flow-tiny-1a2b3c4d results/runs/openmoji-selfe-tiny-5e6f7a8b
      selfe-eval compare before after --json
    """
    from selfe_eval.report.comparison import compare as compared
    from selfe_eval.report.run_evidence import read_evidence

    first = read_evidence(a, allow_partial=allow_partial)
    second = read_evidence(b, allow_partial=allow_partial)
    comparison = compared(first, second)
    if as_json:
        from selfe_eval.report.as_json import comparison_document

        typer.echo(json.dumps(comparison_document(comparison), allow_nan=False))
    else:
        from rich.console import Console

        from selfe_eval.report.comparison_table import print_comparison

        print_comparison(comparison, first, second, Console())
    if comparison.outcome == "not_comparable":
        raise UntrustworthyError(
            f"The runs {a} and {b} cannot be compared. {comparison.reason} Measure both with the same suite, "
            "scorer and step counts, then compare again."
        )
