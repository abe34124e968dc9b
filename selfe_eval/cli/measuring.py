"""What the verbs that measure share: plan the run, gather the instruments, measure, print."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from selfe_eval.cli.asked import Asked, Judge, Measuring, Place, Request, Sampler, Source
from selfe_eval.cli.terminal import stage_progress, talk

if TYPE_CHECKING:
    from selfe_eval.pipeline.instruments import Bench, Instruments
    from selfe_eval.pipeline.measure import Measurements
    from selfe_eval.pipeline.progress import Progress
    from selfe_eval.records import Suite
    from selfe_eval.report.summary import Summary
    from selfe_eval.runs.run import Run, RunRecord

    Gather = Callable[[Bench, Progress], Instruments]


def request_of(
    source: Source,
    asked: Asked,
    sampler: Sampler,
    judge: Judge,
    place: Place,
    *,
    metrics: tuple[str, ...],
    measuring: Measuring | None = None,
) -> Request:
    """All that was typed, read once.

    Raises:
        UsageError: for the first option that makes no sense on its own.
    """
    return Request(
        source=source,
        asked=asked,
        sampler=sampler.overrides(),
        judge=judge,
        place=place,
        measures=(measuring or Measuring()).options(metrics),
    )


def measure_job(request: Request, *, at_hand: bool = False) -> tuple[Measurements, Instruments]:
    """Take the run that answers a request through all of its stages.

    Args:
        request: What was asked.
        at_hand: Measure whatever has what it needs here, in the place of the metrics that the request names.

    Raises:
        UsageError: what was asked cannot be done.
        UntrustworthyError: images or scores are missing or damaged.
    """
    from selfe_eval.pipeline.instruments import instruments_at_hand, named_instruments
    from selfe_eval.pipeline.jobs import FoundImagesJob
    from selfe_eval.pipeline.measure import measure
    from selfe_eval.pipeline.opening import planned_run, run_folder, see_writable
    from selfe_eval.pipeline.own_prompts import write_prompts

    job = request.job()
    record = job.record()
    folder = run_folder(record, request.place.out)
    see_writable(folder, record)
    gather: Gather = instruments_at_hand if at_hand else named_instruments
    instruments = gather(bench_of(job.suite, record, request.place.device), stage_progress())
    record = replace(record, measures=replace(record.measures, metrics=instruments.metrics))
    with planned_run(folder, record) as run:
        write_prompts(run, job.suite)
        found = job.found if isinstance(job, FoundImagesJob) else None
        made = measure(run, instruments, stage_progress(), found=found)
    for notice in made.notices:
        talk(notice)
    return made, instruments


def bench_of(suite: Suite, record: RunRecord, device: str) -> Bench:
    """What the instruments of a planned run are chosen by."""
    from selfe_eval.pipeline.geneval import load_scorer
    from selfe_eval.pipeline.instruments import Bench

    return Bench(
        suite=suite,
        options=record.measures,
        num_prompts=len(record.prompt_ids),
        images_per_prompt=record.spec.images_per_prompt,
        device=device,
        load_scorer=lambda: load_scorer(record.spec.detector, record.judge, device),
    )


def run_instruments(run: Run, device: str | None = None) -> Instruments:
    """The instruments that the record of a run names.

    Raises:
        UsageError: one of them cannot be had, or is code that nobody named on the command line.
    """
    from selfe_eval.pipeline.geneval import load_run_scorer, suite_of
    from selfe_eval.pipeline.instruments import named_instruments

    bench = bench_of(suite_of(run), run.record, device or run.record.device)
    bench = replace(bench, load_scorer=lambda: load_run_scorer(run, device))
    return named_instruments(bench, stage_progress())


def print_run(made: Measurements, *, as_json: bool) -> None:
    """The result of a run that was there, on stdout: GenEval alone as `geneval` prints it, else all metrics.

    Raises:
        UntrustworthyError: images have no score, and the run was not begun with that allowed.
    """
    from selfe_eval.pipeline.geneval import refuse_incomplete

    if made.measures is None and made.summary is not None:
        print_result(made.run, made.summary, as_json=as_json)
    else:
        print_measurements(made, {}, as_json=as_json)
    may_be_incomplete = made.run.spec.source == "images" and made.run.record.partial
    if made.summary is not None and not may_be_incomplete:
        refuse_incomplete(made.run, made.summary)


def print_result(run: Run, summary: Summary, *, as_json: bool) -> None:
    """GenEval of a finished run on stdout: the JSON document, or leaderboard, verdict and details."""
    if as_json:
        from selfe_eval.report.as_json import geneval_document

        typer.echo(json.dumps(geneval_document(summary, run=str(run.folder)), allow_nan=False))
        return
    from rich.console import Console

    from selfe_eval.report.details import print_details
    from selfe_eval.report.entry import Entry, hardware_of
    from selfe_eval.report.leaderboard import print_leaderboard
    from selfe_eval.report.published import featured_rows

    console = Console()
    entry = Entry(run=str(run.folder), summary=summary, hardware=hardware_of(run.record))
    print_leaderboard([entry], featured_rows(), console)
    print_details(summary, console)
    talk(f"run: {run.folder}")


def print_measurements(made: Measurements, not_measured: Mapping[str, str], *, as_json: bool) -> None:
    """All metrics of a run on stdout: the JSON document, or tables, verdicts and notes."""
    if as_json:
        from selfe_eval.report.as_json import sweep_document

        run = str(made.run.folder)
        document = sweep_document(made.summary, made.measures, not_measured, run=run)
        typer.echo(json.dumps(document, allow_nan=False))
        return
    from rich.console import Console

    from selfe_eval.report.measures_table import print_sweep

    print_sweep(made.summary, made.measures, not_measured, Console())
    talk(f"run: {made.run.folder}")
