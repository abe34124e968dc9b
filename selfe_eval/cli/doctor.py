"""The verb ``doctor``: is this installation able to give a true number, and if not, what to do?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from selfe_eval.cli import options
from selfe_eval.cli.asked import Judge
from selfe_eval.cli.terminal import talk
from selfe_eval.errors import UntrustworthyError, unknown_name

if TYPE_CHECKING:
    from rich.table import Table

    from selfe_eval.doctor.findings import Examination, Finding, Trust

MARKS = {"ok": ("ok", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "bold red")}
"""Status -> (word, style): the word alone says it where there is no colour."""


def doctor(
    *,
    detector: Annotated[
        str | None, typer.Option(help="Examine this one; by default all that are installed here.")
    ] = None,
    detector_weights: options.DetectorWeights = None,
    detector_config: options.DetectorConfig = None,
    color_weights: options.ColorWeights = None,
    device: options.Device = "auto",
    as_json: options.AsJson = False,
) -> None:
    """Test this installation: versions, weights, and judges on images with known content.

    Nothing is downloaded. Exit code 3 if anything would make a number untrue.

    \b
    Examples:
      selfe-eval doctor
      selfe-eval doctor --detector transformers --detector-weights mask2former.pth
      selfe-eval doctor --json > doctor.json
    """  # noqa: D301 - Typer needs the control character, not its spelling
    from selfe_eval.doctor.examine import Request, examine
    from selfe_eval.score.detectors.registry import DETECTORS

    judge = Judge(
        detector=detector,
        detector_weights=detector_weights,
        detector_config=detector_config,
        color_weights=color_weights,
        color_mode="deterministic",
    )
    if detector is not None and detector not in DETECTORS:
        raise unknown_name("detector", detector, DETECTORS)
    examination = examine(Request(detector=detector, device=device, judge=judge.options()), talk)
    if as_json:
        typer.echo(json.dumps(examination.document()))
    else:
        _print(examination)
    if examination.failed:
        raise UntrustworthyError(
            "Something here makes numbers untrue: see the findings marked FAIL, each with what to do."
        )


def _print(examination: Examination) -> None:
    from rich.console import Console

    console = Console()
    areas = dict.fromkeys(finding.area for finding in examination.findings)
    for area in areas:
        console.print(area, style="bold", highlight=False)
        console.print(_table([finding for finding in examination.findings if finding.area == area]))
    answers = "; ".join(f"{name}: {_answer(trust)}" for name, trust in examination.trusted.items())
    console.print(f"Trusted here: {answers}.", highlight=False, markup=False)


def _table(findings: list[Finding]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        mark, style = MARKS[finding.status]
        found = Text(finding.found)
        if finding.advice:
            found.append(f"\n-> {finding.advice}")
        table.add_row(Text(f"  {mark}", style=style), finding.name, found)
    return table


def _answer(trust: Trust) -> str:
    if trust.because:
        return f"{trust.answer} ({trust.because})"
    return f"{trust.answer}, as {trust.metric}" if "[" in trust.metric else trust.answer
