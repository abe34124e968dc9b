"""The verb ``failures``: look at what a run's score calls wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selfe_eval.cli.terminal import talk
from selfe_eval.errors import UntrustworthyError, UsageError


def failures(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder with scores.")],
    *,
    steps: Annotated[int | None, typer.Option(help="Which step count; by default the largest.")] = None,
    task: Annotated[str | None, typer.Option(help="One task alone; by default all, spread evenly.")] = None,
    num: Annotated[int, typer.Option(min=1, max=400, help="At most so many images.")] = 24,
    out: Annotated[
        Path | None,
        typer.Option(help="The PNG to write; by default failures-steps-NNN.png in the run folder."),
    ] = None,
) -> None:
    """Draw failed images on one sheet, with prompt, reason and the boxes of what the detector found.

    Each box has its class, confidence and, where it was asked, colour. Grey boxes are objects asked for that miss
    the threshold by little.

    \b
    Examples:
      selfe-eval failures results/runs/openmoji-selfe-tiny-ab12cd34
      selfe-eval failures my-run --steps 4 --task counting --num 12 --out counting.png
    """  # noqa: D301 - Typer needs the control character, not its spelling
    if out is not None and (out.suffix.lower() != ".png" or not out.parent.is_dir()):
        raise UsageError(f"--out {out}: expected a file name that ends in .png, in a folder that is there.")
    from selfe_eval.pipeline.failures import draw_failures
    from selfe_eval.pipeline.geneval import suite_of
    from selfe_eval.runs.run import open_run

    opened = open_run(run)
    if not opened.record.measures.is_judged:
        raise UntrustworthyError(
            f"{run} has no GenEval, which alone says of an image that it failed: it measures "
            f"{', '.join(opened.record.measures.metrics)}. Measure GenEval too: repeat the command that began the run with "
            "`geneval` in the place of its verb."
        )
    drawn = draw_failures(opened, suite_of(opened), steps=steps, task=task, num=num, path=out)
    steps_word = "step" if drawn.steps == 1 else "steps"
    where = f"{drawn.num_scored} scored images{f' of {task}' if task else ''} at {drawn.steps} {steps_word}"
    if drawn.path is None:
        talk(f"None of the {where} failed; there is nothing to draw.")
        return
    talk(f"{drawn.num_failed} of the {where} failed; {drawn.num_drawn} are drawn.")
    typer.echo(str(drawn.path))
