"""The verb ``probe``: does a model judge its own samples as a converged teacher would?"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from selfe_eval.cli import options
from selfe_eval.cli.experiment import AsJson, OutputFormat, interrupted_in, write_report
from selfe_eval.cli.leaderboard import Format
from selfe_eval.cli.terminal import talk
from selfe_eval.errors import UsageError

EXPERIMENTS_FOLDER = Path("results", "experiments")
"""Where probes go without ``--out``, below the working directory."""


def probe(  # noqa: PLR0913 - the parameters are the options
    *,
    ckpt: Annotated[
        list[str],
        typer.Option(
            metavar="NAME_OR_PATH", help="A checkpoint; repeat it for early, middle and late ones, in order."
        ),
    ],
    teacher: Annotated[
        str, typer.Option(metavar="NAME_OR_PATH", help="A converged model with the same autoencoder.")
    ] = "flow-tiny",
    times: Annotated[str, typer.Option(help="Values of s, above 0 and at most 1.")] = "0.1,0.3,0.5,0.7,0.9",
    start: Annotated[
        float | None, typer.Option(help="t of the prediction; by default drawn evenly between s and 1.")
    ] = None,
    scenes: Annotated[int, typer.Option(min=1, help="Fresh scenes to measure on.")] = 256,
    pictures: Annotated[int, typer.Option(min=1, max=64, help="Scenes to show.")] = 6,
    seed: Annotated[int, typer.Option(min=0, max=options.MAX_SEED, help="Of scenes and noises.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder. By default in results/experiments, named after what was asked."),
    ] = None,
    device: options.Device = "auto",
    output_format: OutputFormat = Format.RICH,
    as_json: AsJson = False,
) -> None:
    """Compare the self-evaluation direction of checkpoints with a teacher's: cosine, length, share of energy.

    Delta = G(xhat_s, s, s, phi) - G(xhat_s, s, s, c), of both at the same sample xhat_s of the checkpoint.

    \b
    Examples:
      selfe-eval probe --ckpt selfe-tiny --teacher flow-tiny
      selfe-eval probe --ckpt run/checkpoint-002000 --ckpt run/checkpoint-006000 --ckpt run/checkpoint
    """  # noqa: D301 - Typer needs the control character, not its spelling
    from selfe_eval.generate.checkpoints import find_checkpoint, verify_checkpoint
    from selfe_eval.pipeline.probe import ProbePlan, run_probe

    values = parse_times(times)
    if start is not None and not values[-1] <= start <= 1:
        raise UsageError(
            f"--start {start}: expected a number from {values[-1]:g}, the greatest of --times, to 1: s comes before t."
        )
    plan = ProbePlan(
        checkpoints=tuple(find_checkpoint(one) for one in ckpt),
        teacher=find_checkpoint(teacher),
        num_scenes=scenes,
        times=values,
        start=start,
        seed=seed,
        num_pictures=pictures,
    )
    for checkpoint in (*plan.checkpoints, plan.teacher):
        verify_checkpoint(checkpoint)
    from selfe_eval.devices import resolve_device

    folder = out or EXPERIMENTS_FOLDER / plan.folder_name()
    with interrupted_in(folder):
        report = run_probe(plan, folder, device=resolve_device(device), announce=talk)
    write_report(report, Format.JSON if as_json else output_format)
    talk(f"pictures: {folder}")


def parse_times(text: str) -> tuple[float, ...]:
    """Values of s from a comma-separated list, ascending.

    Raises:
        UsageError: one is no number above 0 and at most 1, or is there twice.

    >>> parse_times("0.5, 0.1")
    (0.1, 0.5)
    """
    items = [item.strip() for item in text.split(",")]
    bad = [repr(item) for item in items if not 0 < _number(item) <= 1]
    if bad:
        raise UsageError(
            f"--times {text!r}: expected numbers above 0 (where there is nothing to evaluate) and at most 1, separated by "
            f"commas; found {', '.join(bad)}."
        )
    values = sorted(float(item) for item in items)
    if len(set(values)) < len(values):
        raise UsageError(f"--times {text!r}: give each value once.")
    return tuple(values)


def _number(item: str) -> float:
    try:
        return float(item)
    except ValueError:
        return math.nan
