"""The verbs ``sweep``, ``clip-score`` and ``fid``: every metric over step counts, or one of them."""

from __future__ import annotations

from typing import Annotated

import typer

from selfe_eval.cli import options
from selfe_eval.cli.asked import Asked, Judge, Measuring, Place, Sampler, Source
from selfe_eval.cli.measuring import measure_job, print_measurements, request_of
from selfe_eval.cli.option_groups import with_groups
from selfe_eval.cli.verdicts import FailOnOption, fail_on_verdict
from selfe_eval.errors import UsageError


@with_groups
def sweep(  # noqa: PLR0913 - one parameter for each group of options
    *,
    source: Source,
    asked: Asked,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="Which metrics, as in geneval,fid,coverage; by default all that have what they need here.",
            show_default=False,
        ),
    ] = None,
    measuring: Measuring,
    judge: Judge,
    sampler: Sampler,
    place: Place,
    fail_on: FailOnOption = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure everything that can be measured, over step counts, from images that are looked at once.

    Quality (GenEval, CLIP-score, FID, KID, CMMD) with diversity beside it (coverage, recall, and the spread of images of
    one prompt), each with its interval and verdict. What is left out is named with the reason.

    \b
    Examples:
      selfe-eval sweep --ckpt selfe-tiny --steps 1,2,4,8,50
      selfe-eval sweep --model diffusers:my-pipeline --reference coco-val2014 --metrics clip-score,fid,cmmd
      selfe-eval sweep --images my-images --suite openmoji --name my-model --json > result.json
    """  # noqa: D301 - Typer needs the control character, not its spelling
    from selfe_eval.pipeline.geneval import refuse_incomplete

    names = parse_metrics(metrics) if metrics is not None else ()
    if fail_on is not None and names and "geneval" not in names:
        raise UsageError(
            f"--fail-on {fail_on.value} goes by GenEval's verdict, and --metrics {metrics} leaves GenEval out. Add it, or "
            "leave --fail-on out."
        )
    request = request_of(source, asked, sampler, judge, place, metrics=names, measuring=measuring)
    made, instruments = measure_job(request, at_hand=metrics is None)
    print_measurements(made, instruments.not_measured, as_json=as_json)
    if made.summary is not None and not asked.allow_partial:
        refuse_incomplete(made.run, made.summary)
    if fail_on is not None:
        fail_on_verdict(made.summary, fail_on)


@with_groups
def clip_score(
    *,
    source: Source,
    asked: Asked,
    measuring: Measuring,
    sampler: Sampler,
    place: Place,
    as_json: options.AsJson = False,
) -> None:
    """How well images fit their prompts, by a CLIP model, over step counts.

    \b
    Examples:
      selfe-eval clip-score --ckpt selfe-tiny --steps 1,2,4,8,50
      selfe-eval clip-score --images my-images --clip-protocol hessel
    """  # noqa: D301 - Typer needs the control character, not its spelling
    request = request_of(source, asked, sampler, Judge(), place, metrics=("clip-score",), measuring=measuring)
    made, instruments = measure_job(request)
    print_measurements(made, instruments.not_measured, as_json=as_json)


@with_groups
def fid(
    *,
    source: Source,
    asked: Asked,
    measuring: Measuring,
    sampler: Sampler,
    place: Place,
    as_json: options.AsJson = False,
) -> None:
    """How far images are from reference images, by FID, over step counts.

    For its kin (KID, CMMD, FD-DINOv2, coverage) see `selfe-eval sweep --metrics`.

    \b
    Examples:
      selfe-eval fid --ckpt selfe-tiny --steps 1,2,4,8,50
      selfe-eval fid --model sdxl-turbo --steps 1,4 --reference coco-val2014
      selfe-eval fid --images my-images --reference statistics.npz --weights inception=pt_inception.pth
    """  # noqa: D301 - Typer needs the control character, not its spelling
    request = request_of(source, asked, sampler, Judge(), place, metrics=("fid",), measuring=measuring)
    made, instruments = measure_job(request)
    print_measurements(made, instruments.not_measured, as_json=as_json)


def parse_metrics(text: str) -> tuple[str, ...]:
    """Names of metrics from a comma-separated list, each once.

    Raises:
        UsageError: a name is there twice, or there is none.

    >>> parse_metrics("fid, geneval")
    ('fid', 'geneval')
    """
    names = [item.strip() for item in text.split(",")]
    if not all(names) or len(set(names)) < len(names):
        raise UsageError(
            f"--metrics {text!r}: expected names separated by commas, each once, as in geneval,clip-score,fid."
        )
    return tuple(names)
