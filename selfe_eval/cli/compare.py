"""The verb ``compare``: is run B better than run A, image by image and metric by metric."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfe_eval.cli.option_groups import with_groups
from selfe_eval.cli.terminal import talk
from selfe_eval.errors import UntrustworthyError, UsageError, unknown_name
from selfe_eval.records import TASKS

if TYPE_CHECKING:
    from selfe_eval.report.comparison import Comparison
    from selfe_eval.report.flips import StepFlips


class Format(Enum):
    """How the comparison is written."""

    RICH = "rich"
    MD = "md"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """Pictures of what flipped."""

    flips: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Draw images that one run has right and the other wrong."),
    ] = None
    """Where to."""
    steps: Annotated[
        int | None,
        typer.Option(
            help="Of which step count; by default the largest.",
            show_default=False,
            envvar="SELFE_EVAL_FLIPS_STEPS",  # SELFE_EVAL_STEPS is a list, of the verbs that measure
        ),
    ] = None
    """At which step count."""
    task: Annotated[
        str | None,
        typer.Option(help="Of one task; by default all, spread evenly.", envvar="SELFE_EVAL_FLIPS_TASK"),
    ] = None
    """One of the six."""
    num: Annotated[int, typer.Option(min=1, max=200, help="At most so many pairs of pictures.")] = 24
    """How many."""


@with_groups
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="The run folder to compare with.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="The run folder in question.")],
    *,
    metrics: Annotated[
        str | None,
        typer.Option(help="Metrics, separated by commas; by default all that both have.", show_default=False),
    ] = None,
    output_format: Annotated[
        Format, typer.Option("--format", help="Tables for the terminal, or markdown, JSON.")
    ] = Format.RICH,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    sheet: Sheet,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Compare partial runs on the prompts they share.")
    ] = False,
) -> None:
    """Show B minus A at every step count they share, paired by prompt and image, with intervals.

    The first metric, GenEval where both have it, decides the outcome; its p-values are adjusted for the step counts,
    those of the other metrics for all of them together. Flips are images that went from right to wrong, or back.

    \b
    Examples:
      selfe-eval compare results/runs/openmoji-flow-tiny-1a2b3c4d results/runs/openmoji-selfe-tiny-5e6f7a8b
      selfe-eval compare before after --flips flips.png --steps 8 --task counting
      selfe-eval compare before after --format md >> "$GITHUB_STEP_SUMMARY"
    """  # noqa: D301 - Typer needs the control character, not its spelling
    from selfe_eval.report.comparison import compare as compared
    from selfe_eval.report.flips import flips_of
    from selfe_eval.report.run_evidence import read_evidence

    _require_drawable(sheet)
    first = read_evidence(a, allow_partial=allow_partial)
    second = read_evidence(b, allow_partial=allow_partial)
    comparison = compared(
        first, second, metrics=[name.strip() for name in (metrics or "").split(",") if name]
    )
    flipped = flips_of(first, second, comparison)
    chosen = Format.JSON if as_json else output_format
    if chosen is Format.RICH:
        from rich.console import Console

        from selfe_eval.report.comparison_table import print_comparison

        print_comparison(comparison, first, second, Console(), flips=flipped)
    elif chosen is Format.MD:
        from selfe_eval.report.comparison_markdown import comparison_markdown

        typer.echo(comparison_markdown(comparison, first, second, flips=flipped), nl=False)
    else:
        typer.echo(_document((a, b), comparison, flipped))
    if comparison.outcome == "not_comparable":
        raise UntrustworthyError(
            f"The runs {a} and {b} cannot be compared. {comparison.reason} Measure both with the same suite, "
            "scorer, protocols and step counts, then compare again."
        )
    if sheet.flips is not None:
        _draw((a, b), flipped, sheet, sheet.flips)


def _require_drawable(sheet: Sheet) -> None:
    """Refuse what cannot be drawn before anything is read."""
    path = sheet.flips
    if path is None and (sheet.steps is not None or sheet.task is not None):
        raise UsageError(
            "--steps and --task choose what is drawn: give --flips FILE.png too, or leave them out."
        )
    if path is not None and (path.suffix.lower() != ".png" or not path.parent.is_dir()):
        raise UsageError(
            f"--flips {path}: expected a file name that ends in .png, in a folder that is there."
        )
    if sheet.task is not None and sheet.task not in TASKS:
        raise unknown_name("task", sheet.task, TASKS)


def _document(folders: tuple[Path, Path], comparison: Comparison, flipped: Sequence[StepFlips]) -> str:
    from selfe_eval.pipeline.flips import flipped_images
    from selfe_eval.report.as_json import comparison_document
    from selfe_eval.report.flips import flips_document

    images = iter(flipped_images(folders, [flip for found in flipped for flip in found.flips]))
    parts = [flips_document(found, [next(images).as_json() for _ in found.flips]) for found in flipped]
    return json.dumps(comparison_document(comparison, parts), allow_nan=False)


def _draw(folders: tuple[Path, Path], flipped: Sequence[StepFlips], sheet: Sheet, path: Path) -> None:
    """Draw the flips of one step count, and say how many are left out."""
    from selfe_eval.pipeline.flips import draw_flips, flipped_images

    if not flipped:
        raise UsageError(
            "--flips: GenEval is not compared here, and only its verdicts can flip. Leave the option out."
        )
    by_steps = {found.steps: found for found in flipped}
    count = max(by_steps) if sheet.steps is None else sheet.steps
    if count not in by_steps:
        listed = ", ".join(map(str, by_steps))
        raise UsageError(f"--steps {count}: both runs have scores at {listed} steps. Give one of these.")
    own = [flip for flip in by_steps[count].flips if sheet.task in {None, flip.task}]
    where = f"{f' of {sheet.task}' if sheet.task else ''} at {count} {'step' if count == 1 else 'steps'}"
    if not own:
        talk(f"No image{where} flipped; there is nothing to draw.")
        return
    drawn = draw_flips(flipped_images(folders, own), path, num=sheet.num)
    left = f"; {len(own) - drawn} are left out (--num)" if drawn < len(own) else ""
    talk(f"{drawn} of the {len(own)} images{where} that flipped are drawn in {path}, A left of B{left}.")
