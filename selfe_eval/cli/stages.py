"""The verbs ``generate``, ``score`` and ``summarise``: the stages alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selfe_eval.cli import options
from selfe_eval.cli.geneval import print_result
from selfe_eval.cli.terminal import stage_progress, talk
from selfe_eval.errors import UsageError
from selfe_eval.generate.overrides import SamplerOverrides


def generate(  # noqa: PLR0913 - the parameters are the options
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
) -> None:
    """Plan a run and draw its images, without scoring them; prints the run folder.

    \b
    Example:
      selfe-eval generate --ckpt selfe-tiny --steps 1,4 && selfe-eval score results/runs/...
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
    from selfe_eval.pipeline.generate import generate as draw
    from selfe_eval.pipeline.geneval import load_run_generator, suite_of
    from selfe_eval.pipeline.opening import planned_run, run_folder
    from selfe_eval.pipeline.own_prompts import write_prompts

    job = options.checkpoint_job(request)
    record = job.record()
    with planned_run(run_folder(record, out), record) as run:
        write_prompts(run, job.suite)
        draw(run, suite_of(run), lambda: load_run_generator(run), stage_progress())
    typer.echo(str(run.folder))


def score(  # noqa: PLR0913 - the parameters are the options
    context: typer.Context,
    run: Annotated[
        Path | None, typer.Argument(metavar="RUN", help="A run folder; leave out with --images.")
    ] = None,
    *,
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Score images anybody made, in the official layout.")
    ] = None,
    suite: Annotated[
        str | None, typer.Option(help="With --images: the prompts they were made for; by default geneval.")
    ] = None,
    prompts: options.PromptsFile = None,
    steps: Annotated[
        str | None, typer.Option(help="With --images: their step count, for the table; 0 where not said.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="With --images: the model's name; by default the folder's.")
    ] = None,
    images_per_prompt: Annotated[
        int | None, typer.Option(min=1, help="With --images: how many there should be; by default the most.")
    ] = None,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="With --images: score what is there, stamped partial.")
    ] = False,
    detector: options.DetectorName = None,
    detector_weights: options.DetectorWeights = None,
    detector_config: options.DetectorConfig = None,
    color_weights: options.ColorWeights = None,
    color_mode: options.ColorModeName = "deterministic",
    out: options.Out = None,
    device: options.Device = "auto",
    as_json: options.AsJson = False,
) -> None:
    """Score the images of a run again, or images that anybody made, and say what is missing.

    \b
    Examples:
      selfe-eval score results/runs/openmoji-selfe-tiny-ab12cd34
      selfe-eval score --images my-images --suite geneval --name my-model
    """  # noqa: D301 - Typer needs the control character, not its spelling
    if run is not None:
        _refuse_options(context, run)
        _score_run(run, device)
        return
    if images is None:
        raise UsageError("Give a run folder, or --images DIR with images that somebody made.")
    from selfe_eval.pipeline.found_images import NO_STEPS, find_images
    from selfe_eval.pipeline.geneval import FoundImagesJob, continue_run, load_scorer, refuse_incomplete
    from selfe_eval.pipeline.opening import planned_run, run_folder, see_writable
    from selfe_eval.pipeline.own_prompts import write_prompts

    judge = options.Judge(
        detector=detector,
        detector_weights=detector_weights,
        detector_config=detector_config,
        color_weights=color_weights,
        color_mode=color_mode,
    )
    asked = options.asked_suite(suite or "geneval", prompts)
    judge_name, judge_files = judge.name_for(asked.name), judge.options()
    step_count = NO_STEPS if steps is None else options.parse_one_step_count(steps)
    found = find_images(images, asked, steps=step_count, images_per_prompt=images_per_prompt)
    if steps is not None and found.steps != (step_count,):
        raise UsageError(
            f"--steps {steps}: the folders in {images} say {', '.join(map(str, found.steps))} themselves, by names "
            "such as steps-004. Leave --steps out."
        )
    for line in found.report():
        talk(line)
    if not allow_partial:
        found.refuse_incomplete()
    record = FoundImagesJob(
        found=found,
        suite=asked,
        model=name or found.folder.name,
        detector=judge_name,
        judge=judge_files,
        device=device,
    ).record()
    folder = run_folder(record, out)
    see_writable(folder, record)
    scorer = load_scorer(judge_name, judge_files, device)
    with planned_run(folder, record) as planned:
        write_prompts(planned, asked)
        summary = continue_run(planned, scorer, stage_progress())
    print_result(planned, summary, as_json=as_json)
    if not allow_partial:
        refuse_incomplete(planned, summary)


def summarise(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    *,
    as_json: options.AsJson = False,
) -> None:
    """Compute a run's numbers from its scores, write summary.json, print leaderboard and verdict.

    \b
    Example:
      selfe-eval summarise results/runs/openmoji-selfe-tiny-ab12cd34 --json
    """  # noqa: D301 - Typer needs the control character, not its spelling
    from selfe_eval.pipeline.geneval import refuse_incomplete, suite_of
    from selfe_eval.pipeline.opening import existing_run
    from selfe_eval.pipeline.summarise import summarise as compute

    with existing_run(run) as opened:
        done, summary = compute(opened, suite_of(opened))
    print_result(done, summary, as_json=as_json)
    if not (done.spec.source == "images" and done.record.partial):
        refuse_incomplete(done, summary)


def _refuse_options(context: typer.Context, run: Path) -> None:
    """A run says itself what it is scored with; another answer would silently not count."""
    sources = {
        parameter.opts[0]: context.get_parameter_source(str(parameter.name))
        for parameter in context.command.params
        if parameter.name not in {"run", "device"}
    }
    given = [
        option for option, source in sources.items() if source is not None and source.name == "COMMANDLINE"
    ]
    if given:
        raise UsageError(
            f"{', '.join(given)} cannot be given with a run folder: {run} says itself what it is and how it "
            "is scored, and `selfe-eval summarise` prints its numbers. Leave it out, or start another run."
        )


def _score_run(folder: Path, device: str) -> None:
    from selfe_eval.pipeline.geneval import load_run_scorer, suite_of
    from selfe_eval.pipeline.opening import existing_run
    from selfe_eval.pipeline.score import score as judge
    from selfe_eval.runs.run import open_run

    scorer = load_run_scorer(open_run(folder), device)
    with existing_run(folder) as run:
        judge(run, suite_of(run), scorer, stage_progress())
    talk(f"Scored. The numbers: selfe-eval summarise {folder}")
