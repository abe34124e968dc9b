"""The verb ``gate``: a regression against a baseline makes the command, and so a job of CI, fail."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfe_eval.cli import options
from selfe_eval.cli.terminal import command, talk
from selfe_eval.errors import UntrustworthyError, UsageError, VerdictError

if TYPE_CHECKING:
    from selfe_eval.report.gate import Decision
    from selfe_eval.report.gate_policy import Policy

FAILED, INCONCLUSIVE = 10, 11


class OnInconclusive(Enum):
    """What an inconclusive primary metric does."""

    FAIL = "fail"
    WARN = "warn"
    PASS = "pass"  # noqa: S105 - no password: the opposite of fail


def gate(
    *,
    baseline: Annotated[
        Path, typer.Option(metavar="FILE", help="A file that `baseline promote` wrote, or a run folder.")
    ],
    run: Annotated[Path, typer.Option(metavar="RUN", help="The folder of the run in question.")],
    policy: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="What is tolerated; by default the defaults.")
    ] = None,
    on_inconclusive: Annotated[
        OnInconclusive | None,
        typer.Option(help="Exit 11, exit 0 with a warning, or exit 0. By default the policy's, else warn."),
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option(help="The loss in the primary metric that a pass excludes; by default the policy's."),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(help="The loss in the primary metric beyond which it fails; by default the policy's."),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE.xml", help="Write the answers as JUnit XML too.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Hold a run against a baseline: pass, fail (exit 10), inconclusive (11 where asked), not comparable (3).

    In a job of GitHub Actions it also writes a table into the job's summary, and annotations.

    \b
    Examples:
      selfe-eval gate --baseline results/baselines/main.json --run results/runs/new
      selfe-eval gate --baseline results/baselines/main.json --run results/runs/new --policy gate.toml --junit gate.xml
      selfe-eval gate --baseline before --run after --on-inconclusive fail --json
    """  # noqa: D301 - Typer needs the control character, not its spelling
    from selfe_eval.report.gate_files import gate_files

    chosen = _policy(policy, on_inconclusive, delta, tolerance)
    if junit is not None and not junit.parent.is_dir():
        raise UsageError(
            f"--junit {junit}: expected a file in a folder that is there, found no {junit.parent}."
        )
    decisions = gate_files(baseline, run, chosen)
    _print(decisions, as_json=as_json)
    if junit is not None:
        from selfe_eval.report.junit import junit_xml
        from selfe_eval.runs.atomic import atomic_write

        atomic_write(junit, junit_xml(decisions, chosen.on_inconclusive))
    _tell_github(decisions, chosen)
    _end(decisions, chosen, run)


def _policy(
    path: Path | None, on_inconclusive: OnInconclusive | None, delta: float | None, tolerance: float | None
) -> Policy:
    """The file's policy, or the default one, with what was typed in its place."""
    from selfe_eval.report.gate_policy import Policy, checked_margins, read_policy

    found = Policy() if path is None else read_policy(path)
    margins = checked_margins(
        "--",
        found.margins.delta if delta is None else delta,
        found.margins.tolerance if tolerance is None else tolerance,
    )
    word = found.on_inconclusive if on_inconclusive is None else on_inconclusive.value
    return replace(found, margins=margins, on_inconclusive=word)


def _print(decisions: Sequence[Decision], *, as_json: bool) -> None:
    from selfe_eval.report.gate_text import gate_document, print_gate

    if as_json:
        typer.echo(json.dumps(gate_document(decisions), allow_nan=False))
        return
    from rich.console import Console

    print_gate(decisions, Console())


def _tell_github(decisions: Sequence[Decision], policy: Policy) -> None:
    """The job's summary, and annotations, which the runner reads from stderr as well."""
    from selfe_eval.report.gate_text import gate_markdown
    from selfe_eval.report.github import annotation_lines

    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with Path(summary).open("a", encoding="utf-8") as stream:
            stream.write(gate_markdown(decisions))
    if os.environ.get("GITHUB_ACTIONS"):
        for line in annotation_lines(decisions, policy.on_inconclusive):
            command(line)


def _end(decisions: Sequence[Decision], policy: Policy, run: Path) -> None:
    """The exit code of the worst answer.

    Raises:
        UntrustworthyError: the run cannot be held against a baseline.
        VerdictError: it fails, or nothing is shown and the policy makes that count.
    """
    from selfe_eval.report.gate import worst

    counts = worst(decisions)
    if counts.outcome == "not_comparable":
        raise UntrustworthyError(
            f"The run {run} cannot be held against {counts.against}. {counts.reason} Measure it as the baseline was, or, "
            "where the change is meant, make a run the new baseline with `selfe-eval baseline promote`."
        )
    if counts.outcome == "fail":
        raise VerdictError(
            f"The gate fails {run} against {counts.against}. {counts.reason} Where the loss is meant, make the run the "
            "new baseline with `selfe-eval baseline promote`, which asks for the reason.",
            exit_code=FAILED,
        )
    if counts.outcome == "inconclusive" and policy.on_inconclusive != "pass":
        message = f"The gate is inconclusive about {run} against {counts.against}. {counts.reason}"
        if policy.on_inconclusive == "fail":
            raise VerdictError(message, exit_code=INCONCLUSIVE)
        talk(f"warning: {message}")
