"""The verb ``baseline``: make a run what later runs are held against, and look at who did so and why."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import selfe_eval
from selfe_eval.cli import options
from selfe_eval.cli.terminal import talk
from selfe_eval.errors import UntrustworthyError, UsageError

if TYPE_CHECKING:
    from selfe_eval.report.baseline import Baseline, Promotion

_GIT_SECONDS = 10

baseline = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich")


@baseline.callback()
def _baseline() -> None:
    """Make a run the baseline that `gate` holds later runs against, or show one.

    Example:
      selfe-eval baseline promote results/runs/new --to results/baselines/main.json --why "trained twice as long"
    """


@baseline.command()
def promote(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run folder: complete, and of the whole suite.")
    ],
    *,
    to: Annotated[
        Path,
        typer.Option(
            metavar="FILE.json", help="The baseline, to be committed; one that is there is replaced."
        ),
    ],
    why: Annotated[str, typer.Option(help="The reason, for those who read the history.")],
    who: Annotated[str | None, typer.Option(help="Your name; by default git's user.name.")] = None,
) -> None:
    """Record a run as a baseline: every outcome, what judged it, who made it the baseline, when and why.

    The file keeps a list of the promotions before.

    \b
    Example:
      selfe-eval baseline promote results/runs/new --to results/baselines/main.json --why "trained twice as long"
    """  # noqa: D301 - Typer needs the control character, not its spelling
    from selfe_eval.report.baseline import promoted, read_baseline, write_baseline
    from selfe_eval.report.run_evidence import read_evidence
    from selfe_eval.runs.run import open_run

    if to.suffix != ".json":
        raise UsageError(f"--to {to}: expected the name of a .json file.")
    promotion = _promotion(why, who)
    former = read_baseline(to) if to.exists() else None
    opened = open_run(run)
    if opened.record.status != "complete":
        raise UntrustworthyError(
            f"The run {run} is {opened.record.status}, and a baseline has to be complete. Go on with it: "
            f"{opened.resume_command}"
        )
    evidence = read_evidence(run, allow_partial=True)  # a partial one is refused in a baseline's own words
    made = promoted(evidence, opened.spec.checkpoint_sha256, promotion, former)
    write_baseline(to, made)
    replaced = (
        f", in the place of the one of {former.promotion.at} by {former.promotion.who}" if former else ""
    )
    talk(
        f"{to}: {made.evidence.model} is the baseline now{replaced}. Commit it: git add {shlex.quote(str(to))}"
    )


@baseline.command()
def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A baseline.")],
    *,
    as_json: options.AsJson = False,
) -> None:
    """Show what a baseline holds, and who made it, when and why.

    \b
    Example:
      selfe-eval baseline show results/baselines/main.json
    """  # noqa: D301 - Typer needs the control character, not its spelling
    from selfe_eval.report.baseline import read_baseline

    found = read_baseline(file)
    if as_json:
        import json

        typer.echo(json.dumps(found.as_json(), allow_nan=False))
    else:
        _print(found)


def _promotion(why: str, who: str | None) -> Promotion:
    """Raises UsageError where nobody, or no reason, is named."""
    from selfe_eval.provenance import now
    from selfe_eval.report.baseline import Promotion

    name = who or _git("config", "user.name")
    for option, text in (("--why", why), ("--who", name)):
        if not text or not text.strip():
            raise UsageError(
                f"{option}: expected {'a reason' if option == '--why' else 'a name, and git has none either'}, found "
                "nothing. A baseline says who made it and why."
            )
    return Promotion(
        at=now(),
        who=" ".join(str(name).split()),
        why=" ".join(why.split()),
        git_commit=_git("rev-parse", "HEAD"),
        version=selfe_eval.__version__,
    )


def _git(*arguments: str) -> str | None:
    """What git says in this folder; None where it is missing or has nothing to say."""
    try:
        result = subprocess.run(  # noqa: S603 - fixed arguments, no shell
            ["git", *arguments],  # noqa: S607 - git of the user's PATH is the one meant
            capture_output=True,
            text=True,
            check=True,
            timeout=_GIT_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None


def _print(found: Baseline) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from selfe_eval.report.cells import percent
    from selfe_eval.report.comparison import run_value

    console = Console()
    evidence, made = found.evidence, found.promotion
    console.print(
        Text(
            f"{evidence.model} on {evidence.suite} ({evidence.suite_sha256[:8]}): {len(evidence.tasks)} prompts x "
            f"{evidence.images_per_prompt}, seed {evidence.seed}"
        )
    )
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("metric", "steps", "value", "protocol"):
        table.add_column(heading, overflow="fold")
    for name, metric in evidence.metrics.items():
        for steps in sorted(metric.steps):
            value = run_value(evidence, name, steps)
            shown = percent(value) if value is None or metric.unit == "share" else f"{value:.4g}"
            table.add_row(Text(name), str(steps), shown, metric.protocol_sha256[:8])
    console.print(table)
    releases = [f"{name} {' and '.join(found)}" for name, found in evidence.libraries.items()]
    if releases:
        console.print(Text(f"Measured with {', '.join(releases)}."))
    console.print(Text(f"{made.at}  {made.who}: {made.why}  (sha256 {found.sha256[:12]})"))
    for former in reversed(found.history):
        console.print(
            Text(f"{former.at}  {former.who}: {former.why}  (sha256 {former.sha256[:12]}, replaced)")
        )
