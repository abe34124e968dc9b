"""Reading what a run folder knows about every metric: summaries for what was measured how, scores for the numbers.

No image and no feature is looked at. Scores that do not give the numbers of their summary are refused.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.metrics import METRICS
from selfe_eval.records import Suite
from selfe_eval.report.comparison import run_value
from selfe_eval.report.evidence import ImageEvidence, MetricEvidence, RunEvidence, SetEvidence
from selfe_eval.report.libraries import libraries_of
from selfe_eval.report.measures import Measure, MeasureSet
from selfe_eval.report.measures_file import read_measures
from selfe_eval.report.outcomes import scored_at
from selfe_eval.report.scored_run import ScoredRun, read_scored_run
from selfe_eval.report.summary import METRIC, Summary
from selfe_eval.runs import layout
from selfe_eval.runs.distances import read_distances
from selfe_eval.runs.run import Run, open_run
from selfe_eval.runs.values import read_values
from selfe_eval.stats.estimate import Estimate
from selfe_eval.suites.registry import load_suite
from selfe_eval.suites.rewritten import base_name, is_rewritten


def read_evidence(folder: Path, *, allow_partial: bool = False) -> RunEvidence:
    """What a run has, whichever metrics these are.

    Args:
        folder: The run folder.
        allow_partial: Accept a partial run; whoever shows it must stamp it.

    Raises:
        UsageError: The folder holds no run, or a run without any numbers.
        UntrustworthyError: The run is unfinished or partial, or its scores are not those of its summaries.
    """
    run = open_run(folder)
    measures = read_measures(folder, allow_partial=allow_partial)
    summary = None
    metrics: dict[str, MetricEvidence] = {}
    if (folder / layout.SUMMARY_FILE).is_file():
        scored = read_scored_run(folder, allow_partial=allow_partial)
        summary = scored.summary
        metrics[summary.metric] = geneval_evidence(scored)
    if measures is not None:
        metrics |= {measure.metric: _evidence(run, measure) for measure in measures.measures}
    if not metrics:
        raise UsageError(
            f"{folder} is a run without any numbers yet: expected {layout.SUMMARY_FILE} (of GenEval) or "
            f"{layout.METRICS_FILE} (of other metrics) in it. Measure it with: {run.resume_command}"
        )
    made = _run_evidence(run, summary, measures, metrics)
    _require_stated(run, made, summary, measures)
    return made


def scored_evidence(scored: ScoredRun, suite: Suite) -> RunEvidence:
    """What GenEval alone says of a run.

    Args:
        scored: The run with its single scores.
        suite: Its suite, or the one with the official wording of its prompts.
    """
    summary = scored.summary
    return RunEvidence(
        model=summary.model,
        suite=summary.suite,
        suite_sha256=summary.suite_sha256,
        tasks={p.prompt_id: p.task for p in suite.prompts if p.prompt_id in scored.prompt_ids},
        images_per_prompt=summary.images_per_prompt,
        seed=scored.seed,
        partial=summary.partial,
        spec_sha256=summary.spec_sha256,
        metrics={summary.metric: geneval_evidence(scored)},
    )


def geneval_evidence(scored: ScoredRun) -> MetricEvidence:
    """GenEval's verdicts as 0 and 1; images without one are left out."""
    summary = scored.summary
    return MetricEvidence(
        metric=summary.metric,
        protocol_sha256=summary.scorer_sha256,
        unit=METRICS[METRIC].unit,
        higher_is_better=METRICS[METRIC].higher_is_better,
        is_macro=True,
        steps={
            row.steps: ImageEvidence(
                values={key: float(correct) for key, correct in scored_at(scored.outcomes, row.steps).items()}
            )
            for row in summary.rows
        },
    )


def _run_evidence(
    run: Run, summary: Summary | None, measures: MeasureSet | None, metrics: Mapping[str, MetricEvidence]
) -> RunEvidence:
    stated = [one for one in (summary, measures) if one is not None]
    for one in stated:
        if one.spec_sha256 != run.spec.sha256:
            raise _disagreement(
                run, f"{run.folder} was asked for other images than its summaries speak of", one.spec_sha256
            )
    planned = frozenset(run.record.prompt_ids)
    suite = load_suite(base_name(run.spec.suite))
    if suite.sha256 != run.spec.suite_sha256 and not is_rewritten(run.spec.suite):
        raise UntrustworthyError(
            f"{run.folder} was made for the suite {suite.name} with SHA-256 {run.spec.suite_sha256}, but this version of "
            f"selfe-eval has {suite.sha256}. Use the version that made it, or start a new run."
        )
    return RunEvidence(
        model=stated[0].model,
        suite=stated[0].suite,
        suite_sha256=stated[0].suite_sha256,
        tasks={prompt.prompt_id: prompt.task for prompt in suite.prompts if prompt.prompt_id in planned},
        images_per_prompt=run.spec.images_per_prompt,
        seed=run.spec.seed if run.spec.is_drawn else None,
        partial=any(one.partial for one in stated),
        spec_sha256=run.spec.sha256,
        metrics=metrics,
        libraries=libraries_of(run.record.attempts),
    )


def _evidence(run: Run, measure: Measure) -> MetricEvidence:
    is_set = METRICS[measure.kind].need == "reference"
    return MetricEvidence(
        metric=measure.metric,
        protocol_sha256=measure.protocol_sha256,
        unit=METRICS[measure.kind].unit,
        higher_is_better=METRICS[measure.kind].higher_is_better,
        is_macro=False,
        steps=_sets(run, measure) if is_set else _values(run, measure),
    )


def _values(run: Run, measure: Measure) -> dict[int, ImageEvidence]:
    path = layout.scores_path(run.folder, file_stem(measure))
    records = read_values(path)
    if any(record.scorer != measure.protocol_sha256[:16] for record in records.values()):
        raise _disagreement(run, f"{path} was computed by another protocol than its summary says", "scorer")
    return {
        row.steps: ImageEvidence(
            values={
                (key.prompt_id, key.image_index): record.value
                for key, record in records.items()
                if key.steps == row.steps
            }
        )
        for row in measure.rows
    }


def _sets(run: Run, measure: Measure) -> dict[int, SetEvidence]:
    path = layout.distances_path(run.folder, file_stem(measure))
    distances = read_distances(path)
    if distances is None or distances.protocol != measure.protocol:
        raise _disagreement(
            run,
            f"{path} is missing, or was computed by another protocol than its summary says",
            measure.metric,
        )
    found = {}
    for row in measure.rows:
        one = distances.steps.get(row.steps)
        if one is None:
            raise _disagreement(run, f"{path} has no number at {row.steps} steps", measure.metric)
        found[row.steps] = SetEvidence(
            value=one.value,
            without=np.array(one.without, dtype=np.float64),
            n=one.n,
            n_clusters=one.n_clusters,
        )
    return found


def file_stem(measure: Measure) -> str:
    """The name of a measure's files: its own, without what its extractor says is not official and without brackets."""
    name, variant = measure.metric, measure.protocol.get("extractor", {}).get("variant")
    if variant is not None:
        ending = f"+{variant}]"
        name = f"{name.removesuffix(ending)}]" if name.endswith(ending) else name.removesuffix(f"[{variant}]")
    return name.replace("[", ".").replace("]", "")


def _require_stated(
    run: Run, made: RunEvidence, summary: Summary | None, measures: MeasureSet | None
) -> None:
    """Refuse scores that do not give the numbers of their summary."""
    stated: list[tuple[str, int, Estimate]] = []
    if summary is not None:
        stated += [(summary.metric, row.steps, row.overall) for row in summary.rows]
    if measures is not None:
        stated += [(one.metric, row.steps, row.overall) for one in measures.measures for row in one.rows]
    for metric, steps, estimate in stated:
        found = made.metrics[metric].steps[steps]
        n = found.n if isinstance(found, SetEvidence) else len(found.values)
        value = run_value(made, metric, steps)
        if n != estimate.n or not _same(value, estimate.value):
            raise _disagreement(
                run,
                f"The summary of {run.folder} says {metric} {estimate.value} of {estimate.n} images at {steps} steps, but "
                f"its scores give {value} of {n}",
                "they were changed after it",
            )


def _same(value: float | None, stated: float | None) -> bool:
    """Equal but for the order of sums; a mean below zero may be stated as zero, where the protocol clamps it."""
    if value is None or stated is None:
        return value is stated
    return math.isclose(value, stated, rel_tol=1e-9, abs_tol=1e-12) or (stated == 0.0 and value < 0.0)


def _disagreement(run: Run, problem: str, detail: str) -> UntrustworthyError:
    return UntrustworthyError(
        f"{problem} ({detail}). Write the summaries again with `selfe-eval summarise {shlex.quote(str(run.folder))}`; where "
        f"that refuses, measure again with: {run.resume_command}"
    )
