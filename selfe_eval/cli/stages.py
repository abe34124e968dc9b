"""The verbs ``generate``, ``score`` and ``summarise``: the stages alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selfe_eval.cli import options
from selfe_eval.cli.asked import Asked, Judge, Place, Sampler, Source
from selfe_eval.cli.geneval import measure_geneval
from selfe_eval.cli.measuring import print_run, request_of, run_instruments
from selfe_eval.cli.option_groups import with_groups
from selfe_eval.cli.terminal import stage_progress, talk
from selfe_eval.errors import UsageError


@with_groups
def generate(*, source: Source, asked: Asked, judge: Judge, sampler: Sampler, place: Place) -> None:
    """Plan a run and draw its images, without scoring them; prints the run folder.

    \b
    Example:
      selfe-eval generate --ckpt selfe-tiny --steps 1,4 && selfe-eval score results/runs/...
    """  # noqa: D301 - Typer needs the control character, not its spelling
    if source.images is not None:
        raise UsageError(
            "--images: those images are there already. Score them with `selfe-eval score --images`."
        )
    from selfe_eval.pipeline.geneval import make_images, suite_of
    from selfe_eval.pipeline.opening import planned_run, run_folder
    from selfe_eval.pipeline.own_prompts import write_prompts

    job = request_of(source, asked, sampler, judge, place, metrics=("geneval",)).job()
    record = job.record()
    with planned_run(run_folder(record, place.out), record) as run:
        write_prompts(run, job.suite)
        make_images(run, suite_of(run), stage_progress())
    typer.echo(str(run.folder))


@with_groups
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
    judge: Judge,
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
    asked = Asked(
        steps=steps,
        suite=suite,
        prompts=prompts,
        images_per_prompt=images_per_prompt,
        allow_partial=allow_partial,
    )
    measure_geneval(
        request_of(
            Source(images=images, name=name),
            asked,
            Sampler(),
            judge,
            Place(out=out, device=device),
            metrics=("geneval",),
        ),
        as_json=as_json,
    )


def summarise(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    *,
    as_json: options.AsJson = False,
) -> None:
    """Compute a run's numbers from its scores, write its summaries, print tables and verdicts.

    \b
    Example:
      selfe-eval summarise results/runs/openmoji-selfe-tiny-ab12cd34 --json
    """  # noqa: D301 - Typer needs the control character, not its spelling
    from selfe_eval.pipeline.measure import summarise_all
    from selfe_eval.pipeline.opening import existing_run

    with existing_run(run) as opened:
        made = summarise_all(opened)
    print_run(made, as_json=as_json)


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
    from selfe_eval.pipeline.measure import score_again
    from selfe_eval.pipeline.opening import existing_run
    from selfe_eval.runs.run import open_run

    instruments = run_instruments(open_run(folder), device)
    with existing_run(folder) as run:
        _, notices = score_again(run, instruments, stage_progress())
    for notice in notices:
        talk(notice)
    talk(f"Scored. The numbers: selfe-eval summarise {folder}")
