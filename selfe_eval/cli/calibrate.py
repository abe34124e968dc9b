"""The verb ``calibrate``: is the bundled judge right on scenes whose truth is known?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from selfe_eval.cli.terminal import talk
from selfe_eval.errors import UntrustworthyError

if TYPE_CHECKING:
    from selfe_eval.pipeline.calibrate import Calibration


def calibrate(
    *,
    scenes: Annotated[int, typer.Option(min=1, help="Intact scenes for each of the 553 prompts.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Of the layouts.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of a table.")] = False,
) -> None:
    """Measure the bundled judge on rendered scenes: intact ones must be right, broken ones wrong.

    \b
    Examples:
      selfe-eval calibrate
      selfe-eval calibrate --scenes 1 --json
    """  # noqa: D301  click needs the control character, not its spelling
    from selfe_eval.devices import resolve_device
    from selfe_eval.pipeline.calibrate import calibrate as measure
    from selfe_eval.score.geneval_scorer import build_scorer

    def show(what: str, num_scored: int) -> None:
        talk(f"{what}: {num_scored} scenes scored")

    scorer = build_scorer("openmoji", resolve_device(device))
    result = measure(scorer, scenes_per_prompt=scenes, seed=seed, progress=show)
    if as_json:
        typer.echo(json.dumps(result.document()))
    else:
        _print_table(result)
    if not result.passed:
        raise UntrustworthyError(
            "The judge missed a calibration target (see the rows marked MISSED): its GenEval numbers on the "
            "openmoji suite are not to be believed. Reinstall selfe-eval; if you trained the judge yourself, "
            "train it longer."
        )


def _print_table(result: Calibration) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("scenes", "judge must say", box=None, padding=(0, 2, 0, 0))
    for heading in ("right", "of", "share", "target", ""):
        table.add_column(heading, justify="right")
    rows = [("intact, all tasks", "correct", result.overall)]
    rows += [(f"intact, {task}", "correct", share) for task, share in result.tasks.items()]
    rows += [(f"broken, {kind}", "wrong", share) for kind, share in result.broken.items()]
    rows += [(f"intact, {name}", "correct", share) for name, share in result.degraded.items()]
    for scenes, answer, share in rows:
        target = "" if share.target is None else f"{share.target:.0%}"
        table.add_row(
            scenes,
            answer,
            str(share.num_right),
            str(share.num_scenes),
            f"{share.value:.1%}",
            target,
            "" if share.passed else "MISSED",
        )
    Console().print(table)
    typer.echo(f"{result.seconds_per_image * 1000:.1f} ms an image (detector, colours and rules)")
