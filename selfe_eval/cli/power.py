"""The verb ``power``: what a design of so many prompts and images can detect, before compute is spent."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfe_eval.cli import options
from selfe_eval.errors import UsageError

if TYPE_CHECKING:
    from selfe_eval.report.power import FromRun

MAX_STEP_COUNTS = 20
"""That a curve may have."""


def power(  # noqa: PLR0913 - the parameters are the options
    *,
    suite: Annotated[
        str | None, typer.Option(help="The prompts: openmoji or geneval. By default the run's, else geneval.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many prompts, evenly from the tasks.")
    ] = None,
    images_per_prompt: Annotated[
        str, typer.Option(help="Images of each prompt at each step count; designs to look at.")
    ] = "4,8,16",
    delta: Annotated[str, typer.Option(help="The drops that monotone rules out, as shares.")] = "0.02",
    baseline: Annotated[
        float | None,
        typer.Option(help="The score to look around, as a share. By default the run's, else 0.8."),
    ] = None,
    curve: Annotated[
        str | None,
        typer.Option(help="True scores over the step counts, as shares, instead of the named curves."),
    ] = None,
    detect: Annotated[
        float | None,
        typer.Option(help="The paired difference wanted, as a share: how many images does it need?"),
    ] = None,
    from_run: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="Take variances and curve from a run with two images a prompt or more."
        ),
    ] = None,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Take them from a partial run too.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show what so many prompts and images can detect: standard errors, differences, chances of each verdict.

    \b
    Examples:
      selfe-eval power
      selfe-eval power --curve 0.75,0.79,0.81,0.818,0.82 --images-per-prompt 4,16 --delta 0.01,0.02
      selfe-eval power --detect 0.02
      selfe-eval power --from-run results/runs/selfe --detect 0.01
    """  # noqa: D301 - Typer needs the control character, not its spelling
    from selfe_eval.report.power import Question, model_of, power_document, power_report
    from selfe_eval.stats.power import assumed_model

    images, deltas = parse_images(images_per_prompt), parse_shares("--delta", delta)
    typed_curve = None if curve is None else parse_curve(curve)
    wanted = None if detect is None else _share("--detect", detect)
    score = None if baseline is None else _share("--baseline", baseline)
    run = _read(from_run, allow_partial=allow_partial)
    name = suite or (run.suite if run else "geneval")
    if score is None:
        score = _score_of(run) if run else 0.8
    question = Question(
        suite=name,
        sizes=_sizes(name, limit),
        images_per_prompt=images,
        deltas=deltas,
        baseline=score,
        model=model_of(run) if run else assumed_model(),
        curves=_curves(typed_curve, score, run),
        detect=wanted,
        from_run=run,
    )
    report = power_report(question)
    if as_json:
        typer.echo(json.dumps(power_document(report), allow_nan=False))
        return
    from rich.console import Console

    from selfe_eval.report.power_table import print_power

    print_power(report, Console())


def parse_images(text: str) -> tuple[int, ...]:
    """Numbers of images, ascending.

    Raises:
        UsageError: one is no whole number of at least 1, or is there twice.

    >>> parse_images("16, 4")
    (4, 16)
    """
    items = [item.strip() for item in text.split(",")]
    if not all(item.isascii() and item.isdigit() and len(item) < 6 and int(item) > 0 for item in items):
        raise UsageError(
            f"--images-per-prompt {text!r}: expected whole numbers from 1 to 99999, separated by commas, as in 4,8,16."
        )
    counts = sorted(map(int, items))
    _refuse_repeated("--images-per-prompt", text, counts)
    return tuple(counts)


def parse_shares(option: str, text: str) -> tuple[float, ...]:
    """Shares inside (0, 1) in the order given, each once.

    Raises:
        UsageError: one is no such number, or is there twice.

    >>> parse_shares("--delta", "0.01,0.02")
    (0.01, 0.02)
    """
    shares = _shares(option, text)
    _refuse_repeated(option, text, shares)
    return shares


def parse_curve(text: str) -> tuple[float, ...]:
    """The true scores, at least two.

    Raises:
        UsageError: there are too few or too many, or one is no share inside (0, 1).

    >>> parse_curve("0.75,0.82")
    (0.75, 0.82)
    """
    scores = _shares("--curve", text)
    if not 2 <= len(scores) <= MAX_STEP_COUNTS:
        raise UsageError(
            f"--curve {text!r}: expected 2 to {MAX_STEP_COUNTS} scores, one for each step count; found {len(scores)}."
        )
    return scores


def _shares(option: str, text: str) -> tuple[float, ...]:
    return tuple(_share(option, item) for item in text.split(","))


def _share(option: str, typed: str | float) -> float:
    try:
        share = float(typed)
    except ValueError:
        share = math.nan
    if not 0.0 < share < 1.0:
        raise UsageError(
            f"{option}: expected a share between 0 and 1, as in 0.02 for two percentage points; found {typed!r}."
        )
    return share


def _refuse_repeated(option: str, text: str, values: list[int] | tuple[float, ...]) -> None:
    if len(set(values)) < len(values):
        raise UsageError(f"{option} {text!r}: give each value once.")


def _sizes(suite: str, limit: int | None) -> tuple[int, ...]:
    """Prompts of each task."""
    from selfe_eval.pipeline.plan import select_prompts
    from selfe_eval.suites.registry import load_suite

    loaded = load_suite(suite)
    chosen = set(select_prompts(loaded, limit))
    sizes = dict.fromkeys((prompt.task for prompt in loaded.prompts), 0)
    for prompt in loaded.prompts:
        sizes[prompt.task] += prompt.prompt_id in chosen
    if min(sizes.values()) == 0:
        raise UsageError(
            f"--limit {limit}: expected at least {len(sizes)} prompts, one of each task of {suite}; a score is the mean "
            "over its tasks."
        )
    return tuple(sizes.values())


def _curves(
    typed: tuple[float, ...] | None, baseline: float, run: FromRun | None
) -> dict[str, tuple[float, ...]]:
    """What to look at beside a run's own curve: what was typed, or the named ones where there is nothing else."""
    from selfe_eval.report.power import NAMED_CURVES

    if typed is not None:
        return {"as typed": typed}
    if run is not None:
        return {}
    curves = {
        name: tuple(round(baseline + gain, 6) for gain in gains) for name, gains in NAMED_CURVES.items()
    }
    if not all(0.0 < score < 1.0 for scores in curves.values() for score in scores):
        raise UsageError(
            f"--baseline {baseline:g}: the named curves go from 0.05 below it to 0.02 above it, which leaves 0 to 1. "
            "Give the true scores yourself with --curve, as in --curve 0.9,0.95,0.97."
        )
    return curves


def _score_of(run: FromRun) -> float:
    """Of the run's last step count."""
    score = float(run.rates[:, -1].mean())
    if not 0.0 < score < 1.0:
        raise UsageError(
            f"--from-run {run.run}: all its images at {run.steps[-1]} steps have the score {score:g}, so there is no "
            "variance to plan with. Give --baseline, or name another run."
        )
    return score


def _read(folder: Path | None, *, allow_partial: bool) -> FromRun | None:
    if folder is None:
        return None
    from selfe_eval.pipeline.power import read_from_run

    return read_from_run(folder, allow_partial=allow_partial)
