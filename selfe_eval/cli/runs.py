"""The verbs ``resume``, ``status`` and ``validate``: run folders that are there already."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfe_eval.cli import options
from selfe_eval.cli.measuring import print_run, run_instruments
from selfe_eval.cli.terminal import stage_progress, talk
from selfe_eval.errors import UntrustworthyError

if TYPE_CHECKING:
    from selfe_eval.runs.run import Run

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]

SCHEMA_VERSION = 1
"""Of the documents of ``status --json`` and ``validate --json``."""


def resume(run: RunFolder, *, as_json: options.AsJson = False) -> None:
    """Go on with a run after a crash or an interrupt: only what is missing is computed.

    \b
    Example:
      selfe-eval resume results/runs/openmoji-selfe-tiny-ab12cd34
    """  # noqa: D301 - Typer needs the control character, not its spelling
    from selfe_eval.pipeline.measure import measure
    from selfe_eval.pipeline.opening import existing_run
    from selfe_eval.runs.run import open_run

    instruments = run_instruments(open_run(run))
    with existing_run(run) as opened:
        made = measure(opened, instruments, stage_progress())
    print_run(made, as_json=as_json)


def status(run: RunFolder, *, as_json: options.AsJson = False) -> None:
    """Show what is there of a run: images made and scored at each step count.

    \b
    Example:
      selfe-eval status results/runs/openmoji-selfe-tiny-ab12cd34
    """  # noqa: D301 - Typer needs the control character, not its spelling
    from selfe_eval.pipeline.status import status_by_steps
    from selfe_eval.runs.run import open_run

    opened = open_run(run)
    rows = status_by_steps(opened)
    record = opened.record
    if as_json:
        document = {
            "schema_version": SCHEMA_VERSION,
            "run": str(run),
            "status": record.status,
            "partial": record.partial,
            "steps": [asdict(row) for row in rows],
        }
        typer.echo(json.dumps(document))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("steps", "images planned", "made", "scored"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(str(row.steps), str(row.planned), str(row.made), str(row.scored))
    partial = ", partial" if record.partial else ""
    typer.echo(f"{record.spec.model} on {record.spec.suite}: {record.status}{partial}")
    Console().print(table)
    if record.status != "complete":
        typer.echo(f"Go on with: {opened.resume_command}")


def validate(run: RunFolder, *, as_json: options.AsJson = False) -> None:
    """Check a run against its plan, its hashes and its own numbers; list every problem (exit 3 if any).

    \b
    Example:
      selfe-eval validate results/runs/openmoji-selfe-tiny-ab12cd34
    """  # noqa: D301 - Typer needs the control character, not its spelling
    from selfe_eval.pipeline.geneval import suite_of
    from selfe_eval.pipeline.validate import problems
    from selfe_eval.report.libraries import libraries_of, library_note
    from selfe_eval.runs.run import open_run

    opened = open_run(run)
    releases = library_note([(run.name, libraries_of(opened.record.attempts))])
    if releases:
        talk(f"note: {releases}")
    found = problems(opened, suite_of(opened))
    if as_json:
        document = {"schema_version": SCHEMA_VERSION, "run": str(run), "problems": found, "valid": not found}
        typer.echo(json.dumps(document))
    else:
        for problem in found:
            typer.echo(problem)
    if found:
        raise UntrustworthyError(
            f"{run} is not whole and unchanged: {len(found)} problem{'s' if len(found) > 1 else ''} (listed "
            f"on stdout). {_remedy(opened)}"
        )
    if not as_json:
        num_images = len(opened.record.prompt_ids) * opened.spec.images_per_prompt * len(opened.spec.steps)
        typer.echo(f"valid: {num_images} images, their scores and the summary are whole and unchanged")


def _remedy(run: Run) -> str:
    """How a run becomes whole: only images that were drawn here can be made again here."""
    if run.spec.is_drawn:
        return f"Missing and damaged images and scores are made again by: {run.resume_command}"
    return (
        f"Its images come from {run.spec.images_dir}: what is missing there has to be added by whoever made them; "
        "then repeat the command with --images. Missing scores of images that are there are made by: "
        f"{run.resume_command}"
    )
