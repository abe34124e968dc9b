"""The verb ``geneval``: the main job, from a checkpoint to a leaderboard and a verdict."""

from __future__ import annotations

import json
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from selfe_eval.cli import options
from selfe_eval.cli.terminal import stage_progress, talk
from selfe_eval.errors import VerdictError
from selfe_eval.generate.overrides import SamplerOverrides

if TYPE_CHECKING:
    from selfe_eval.report.summary import Summary
    from selfe_eval.runs.run import Run


class FailOn(Enum):
    """Which verdicts make the command fail."""

    VIOLATED = "violated"
    INCONCLUSIVE = "inconclusive"


_EXIT_CODES = {"violated": 10, "inconclusive": 11}


def geneval(  # noqa: PLR0913 - the parameters are the options
    *,
    ckpt: options.Ckpt,
    steps: options.Steps = "1,2,4,8,50",
    suite: options.SuiteName = None,
    prompts: options.PromptsFile = None,
    images_per_prompt: options.ImagesPerPrompt = 4,
    limit: options.Limit = None,
    detector: options.DetectorName = None,
    detector_weights: options.DetectorWeights = None,
    detector_config: options.DetectorConfig = None,
    color_weights: options.ColorWeights = None,
    color_mode: options.ColorModeName = "deterministic",
    seed: options.Seed = 0,
    guidance: options.Guidance = None,
    guidance_norm: options.GuidanceNorm = None,
    negative_prompt: options.NegativePrompt = None,
    eta: options.Eta = None,
    noise_rule: options.NoiseRule = None,
    s_schedule: options.SSchedule = None,
    warp: options.Warp = None,
    out: options.Out = None,
    device: options.Device = "auto",
    batch_size: options.BatchSize = 64,
    fail_on: Annotated[
        FailOn | None,
        typer.Option(help="Exit 10 if the verdict is violated; with inconclusive, also 11 if it is that."),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Generate and score images of a checkpoint at several step counts; print leaderboard and verdict.

    The same command again goes on where it stopped, and ends at once where it is done.

    \b
    Examples:
      selfe-eval geneval --ckpt selfe-tiny --steps 1,2,4,8,50
      selfe-eval geneval --ckpt selfe-tiny --steps 1,4 --limit 60 --images-per-prompt 1
      selfe-eval geneval --ckpt runs/train/selfe-tiny/checkpoint --fail-on violated --json > result.json
    """  # noqa: D301 - Typer needs the control character, not its spelling
    request = options.Request(
        ckpt=ckpt,
        steps=steps,
        suite=suite,
        prompts=prompts,
        images_per_prompt=images_per_prompt,
        limit=limit,
        judge=options.Judge(
            detector=detector,
            detector_weights=detector_weights,
            detector_config=detector_config,
            color_weights=color_weights,
            color_mode=color_mode,
        ),
        seed=seed,
        sampler=SamplerOverrides(
            guidance=guidance,
            guidance_norm=guidance_norm,
            negative_prompt=negative_prompt,
            eta=eta,
            noise_rule=noise_rule,
            s_schedule=s_schedule,
            warp=warp,
        ),
        device=device,
        batch_size=batch_size,
    )
    from selfe_eval.pipeline.geneval import continue_run, load_scorer, refuse_incomplete
    from selfe_eval.pipeline.opening import planned_run, run_folder, see_writable
    from selfe_eval.pipeline.own_prompts import write_prompts

    job = options.checkpoint_job(request)
    record = job.record()
    folder = run_folder(record, out)
    see_writable(folder, record)
    scorer = load_scorer(record.spec.detector, record.judge, device)
    with planned_run(folder, record) as run:
        write_prompts(run, job.suite)
        summary = continue_run(run, scorer, stage_progress())
    print_result(run, summary, as_json=as_json)
    refuse_incomplete(run, summary)
    _fail_on_verdict(summary, fail_on)


def print_result(run: Run, summary: Summary, *, as_json: bool) -> None:
    """The result of a finished run on stdout: the JSON document, or leaderboard, verdict and details."""
    if as_json:
        from selfe_eval.report.as_json import geneval_document

        typer.echo(json.dumps(geneval_document(summary, run=str(run.folder)), allow_nan=False))
        return
    from rich.console import Console

    from selfe_eval.report.details import print_details
    from selfe_eval.report.leaderboard import print_leaderboard
    from selfe_eval.report.published import featured_rows

    console = Console()
    print_leaderboard([summary], featured_rows(), console)
    print_details(summary, console)
    talk(f"run: {run.folder}")


def _fail_on_verdict(summary: Summary, fail_on: FailOn | None) -> None:
    outcome = summary.verdict.outcome
    counts = outcome == "violated" or fail_on is FailOn.INCONCLUSIVE
    if fail_on is not None and outcome in _EXIT_CODES and counts:
        raise VerdictError(
            f"The verdict on {summary.model} is {outcome}, and --fail-on {fail_on.value} makes that count.",
            exit_code=_EXIT_CODES[outcome],
        )
