"""The verb ``geneval``: the main job, from a model to a leaderboard and a verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from selfe_eval.cli import options
from selfe_eval.cli.asked import Asked, Judge, Place, Request, Sampler, Source
from selfe_eval.cli.measuring import measure_job, print_result, request_of
from selfe_eval.cli.option_groups import with_groups
from selfe_eval.cli.verdicts import FailOnOption, fail_on_verdict

if TYPE_CHECKING:
    from selfe_eval.report.summary import Summary


@with_groups
def geneval(
    *,
    source: Source,
    asked: Asked,
    judge: Judge,
    sampler: Sampler,
    place: Place,
    fail_on: FailOnOption = None,
    as_json: options.AsJson = False,
) -> None:
    """Generate and score images of a model at several step counts; print leaderboard and verdict.

    The same command again goes on where it stopped, and ends at once where it is done.

    \b
    Examples:
      selfe-eval geneval --ckpt selfe-tiny --steps 1,2,4,8,50
      selfe-eval geneval --ckpt selfe-tiny --steps 1,4 --limit 60 --images-per-prompt 1
      selfe-eval geneval --ckpt runs/train/selfe-tiny/checkpoint --fail-on violated --json > result.json
      selfe-eval geneval --model sdxl-turbo --steps 1,2,4
    """  # noqa: D301 - Typer needs the control character, not its spelling
    request = request_of(source, asked, sampler, judge, place, metrics=("geneval",))
    summary = measure_geneval(request, as_json=as_json)
    if fail_on is not None:
        fail_on_verdict(summary, fail_on)


def measure_geneval(request: Request, *, as_json: bool) -> Summary:
    """Measure GenEval alone, and print it.

    Raises:
        UntrustworthyError: images have no score, and nobody allowed that.
    """
    from selfe_eval.pipeline.geneval import refuse_incomplete

    made, _ = measure_job(request)
    assert made.summary is not None
    print_result(made.run, made.summary, as_json=as_json)
    if not request.asked.allow_partial:
        refuse_incomplete(made.run, made.summary)
    return made.summary
