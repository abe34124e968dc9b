"""The verb ``schedules``: which s_k, eta and warp suit a checkpoint, at each step count."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from selfe_eval.cli import options
from selfe_eval.cli.experiment import AsJson, OutputFormat, interrupted_in, write_report
from selfe_eval.cli.leaderboard import Format
from selfe_eval.cli.terminal import stage_progress, talk
from selfe_eval.errors import UsageError

if TYPE_CHECKING:
    from selfe_eval.pipeline.schedules import Sweep

EXPERIMENTS_FOLDER = Path("results", "experiments")
"""Where sweeps go without ``--out``, below the working directory."""


def schedules(  # noqa: PLR0913 - the parameters are the options
    *,
    ckpt: options.Ckpt,
    steps: options.Steps = "1,2,4,8,50",
    s_schedules: Annotated[
        str,
        typer.Option(help="Second times to try: next, current, or numbers between (0: next, 1: current)."),
    ] = "next,0.25,0.5,0.75,current",
    etas: Annotated[str, typer.Option(help="Shares of fresh noise to try, each from 0 to 1.")] = "0,0.5,1",
    warps: Annotated[
        str,
        typer.Option(help="Shifts of the times towards noise to try: model (its own), or numbers (0: none)."),
    ] = "model",
    noise_rule: Annotated[
        Literal["ddpm", "heuristic"] | None,
        typer.Option(help="How much fresh noise eta = 1 is; by default the checkpoint's."),
    ] = None,
    guidance: options.Guidance = None,
    suite: options.SuiteName = None,
    images_per_prompt: options.ImagesPerPrompt = 4,
    limit: options.Limit = None,
    seed: options.Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the sweep. By default in results/experiments, named after it."),
    ] = None,
    device: options.Device = "auto",
    batch_size: options.BatchSize = 64,
    output_format: OutputFormat = Format.RICH,
    as_json: AsJson = False,
) -> None:
    """Sweep the second time s_k, eta and the warp of the sampler; compare each cell with the checkpoint's own way.

    Each cell is a run folder, so `leaderboard`, `compare` and `validate` work on it. The same command again goes on
    where it stopped.

    \b
    Examples:
      selfe-eval schedules --ckpt selfe-tiny --steps 1,2,4 --limit 120 --images-per-prompt 1
      selfe-eval schedules --ckpt selfe-tiny --s-schedules next,current --etas 1 --format md
      selfe-eval schedules --ckpt selfe-tiny --s-schedules next --etas 1 --warps model,-1,0,1 --steps 2,4,8
    """  # noqa: D301 - Typer needs the control character, not its spelling
    from selfe_eval.generate.checkpoints import find_checkpoint, verify_checkpoint
    from selfe_eval.generate.overrides import SamplerOverrides
    from selfe_eval.pipeline.geneval import load_scorer
    from selfe_eval.pipeline.jobs import CheckpointJob
    from selfe_eval.pipeline.schedules import Sweep, run_sweep
    from selfe_eval.score.detectors.registry import detector_for

    step_counts = options.parse_steps(steps)
    checkpoint = find_checkpoint(ckpt)
    asked = options.asked_suite(suite or checkpoint.suite or "geneval", None)
    sweep = Sweep(
        base=CheckpointJob(
            checkpoint=checkpoint,
            suite=asked,
            steps=step_counts,
            images_per_prompt=images_per_prompt,
            limit=limit,
            seed=seed,
            overrides=SamplerOverrides(guidance=guidance, noise_rule=noise_rule),
            detector=detector_for(asked.name),
            device=device,
            batch_size=batch_size,
        ),
        s_schedules=parse_schedules(s_schedules),
        etas=parse_etas(etas),
        warps=parse_warps(warps),
    )
    verify_checkpoint(checkpoint)
    folder = out or EXPERIMENTS_FOLDER / sweep.folder_name()
    _tell_the_size(sweep)
    with interrupted_in(folder):
        report = run_sweep(
            sweep,
            folder,
            load_scorer=lambda: load_scorer(sweep.base.detector, sweep.base.judge, device),
            progress=stage_progress(),
            announce=talk,
        )
    write_report(report, Format.JSON if as_json else output_format)
    talk(f"runs and result: {folder}")


def parse_schedules(text: str) -> tuple[str, ...]:
    """Second times from a comma-separated list, in its order, numbers in their shortest form.

    Raises:
        UsageError: one is neither a word of the sampler nor a number in [0, 1], or is there twice.

    >>> parse_schedules("next, 0.50,current")
    ('next', '0.5', 'current')
    """
    from selfe_eval.generate.overrides import SamplerOverrides

    typed = [SamplerOverrides(s_schedule=item.strip()).second_time() for item in text.split(",")]
    values = [f"{value:g}" if isinstance(value, float) else str(value) for value in typed]
    _refuse_repeated("--s-schedules", text, values)
    return tuple(values)


def parse_etas(text: str) -> tuple[float, ...]:
    """Shares of fresh noise from a comma-separated list, in its order.

    Raises:
        UsageError: one is no number in [0, 1], or is there twice.

    >>> parse_etas("0, 0.5,1")
    (0.0, 0.5, 1.0)
    """
    items = [item.strip() for item in text.split(",")]
    bad = [repr(item) for item in items if not _is_between(item, 0.0, 1.0)]
    if bad:
        raise UsageError(
            f"--etas {text!r}: expected numbers from 0 to 1, separated by commas, as in 0,0.5,1; found {', '.join(bad)}."
        )
    values = tuple(float(item) for item in items)
    _refuse_repeated("--etas", text, [f"{value:g}" for value in values])
    return values


def parse_warps(text: str) -> tuple[float | None, ...]:
    """Warps of the times from a comma-separated list, in its order; None for the model's own.

    Raises:
        UsageError: one is neither ``model`` nor a number that the sampler takes, or is there twice.

    >>> parse_warps("model, -1,0.50")
    (None, -1.0, 0.5)
    """
    from selfe_eval.generate.overrides import GREATEST_WARP

    items = [item.strip() for item in text.split(",")]
    bad = [
        repr(item)
        for item in items
        if item != "model" and not _is_between(item, -GREATEST_WARP, GREATEST_WARP)
    ]
    if bad:
        raise UsageError(
            f"--warps {text!r}: expected model or numbers from -{GREATEST_WARP} to {GREATEST_WARP}, separated by commas, as "
            f"in model,0,1; found {', '.join(bad)}."
        )
    values = tuple(None if item == "model" else float(item) + 0.0 for item in items)
    _refuse_repeated("--warps", text, ["model" if value is None else f"{value:g}" for value in values])
    return values


def _is_between(item: str, least: float, greatest: float) -> bool:
    try:
        return least <= float(item) <= greatest
    except ValueError:
        return False


def _refuse_repeated(option: str, text: str, values: list[str]) -> None:
    repeated = sorted({value for value in values if values.count(value) > 1})
    if repeated:
        raise UsageError(f"{option} {text!r}: give each value once; repeated: {', '.join(repeated)}.")


def _tell_the_size(sweep: Sweep) -> None:
    record = sweep.base.record()
    images = len(record.prompt_ids) * record.spec.images_per_prompt * len(record.spec.steps)
    talk(
        f"{len(sweep.cells)} ways to sample x {images} images "
        f"({len(record.spec.steps)} step counts, {len(record.prompt_ids)} prompts x {record.spec.images_per_prompt})"
    )
