"""The ``--json`` documents. Scripts rely on their keys: add, never rename."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from selfe_eval.report.comparison import Comparison, ComparisonRow, MetricComparison
from selfe_eval.report.entry import Entry, prompts_of
from selfe_eval.report.measures import Measure, MeasureRow, MeasureSet
from selfe_eval.report.published import PublishedRow
from selfe_eval.report.published_ablations import PublishedAblation
from selfe_eval.report.summary import METRIC, Row, Summary
from selfe_eval.stats.drawdown import MonotonicityVerdict
from selfe_eval.stats.estimate import Estimate

SCHEMA_VERSION = 1
"""Of the documents on stdout."""


def geneval_document(summary: Summary, *, run: str) -> dict[str, Any]:
    """The document of ``geneval --json``.

    Args:
        summary: The summary of the run.
        run: The run folder as the user may type it.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "run": run,
        "suite": summary.suite,
        "partial": summary.partial,
        "scorer": dict(summary.scorer),
        "rows": [_measured_row(summary, row) for row in summary.rows],
        "verdict": _verdict(summary.metric, summary.verdict),
    }


def sweep_document(
    summary: Summary | None, measures: MeasureSet | None, not_measured: Mapping[str, str], *, run: str
) -> dict[str, Any]:
    """The document of ``sweep --json``, and of the verbs of single metrics.

    ``verdict`` is GenEval's where it was measured, else the first metric's that has one; ``verdicts`` are all of them.

    Args:
        summary: GenEval's numbers; None where it was not measured.
        measures: Those of the other metrics; None where there are none. One of both is there.
        not_measured: Metric -> why it was left out.
        run: The run folder as the user may type it.
    """
    measured = summary or measures
    assert measured is not None
    found = measures.measures if measures else ()
    verdicts = [_verdict(summary.metric, summary.verdict)] if summary else []
    verdicts += [_verdict(one.metric, one.verdict) for one in found if one.verdict]
    rows = [_measured_row(summary, row) for row in summary.rows] if summary else []
    rows += [_measure_row(measured.model, one, row) for one in found for row in one.rows]
    return {
        "schema_version": SCHEMA_VERSION,
        "run": run,
        "suite": measured.suite,
        "partial": any(one.partial for one in (summary, measures) if one),
        "scorer": dict(summary.scorer) if summary else None,
        "protocols": {one.metric: _protocol(one) for one in found},
        "rows": rows,
        "verdict": verdicts[0] if verdicts else None,
        "verdicts": verdicts,
        "not_measured": dict(not_measured),
    }


def measures_document(measures: MeasureSet, *, run: str) -> dict[str, Any]:
    """The document of ``clip-score --json`` and ``fid --json``."""
    return sweep_document(None, measures, {}, run=run)


def leaderboard_document(
    entries: Sequence[Entry],
    published: Sequence[PublishedRow],
    ablations: Sequence[PublishedAblation] = (),
) -> dict[str, Any]:
    """The document of ``leaderboard --format json``; published rows apart."""
    return {
        "schema_version": SCHEMA_VERSION,
        "runs": [_entry(entry) for entry in entries],
        "published": [
            {
                "model": row.model,
                "metric": METRIC,
                "steps": row.steps,
                "source": "published",
                "reference": row.reference,
                "overall": row.overall,
                "tasks": dict(row.tasks),
                "erratum": row.erratum,
                "note": row.note,
            }
            for row in published
        ],
        "published_ablations": [
            {**asdict(row), "overall": {str(steps): share for steps, share in row.overall.items()}}
            for row in ablations
        ],
    }


def comparison_document(comparison: Comparison, flips: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """The document of ``compare --json``: a row for each metric and step count, in units of the metric.

    Args:
        comparison: Of two runs.
        flips: A `flips_document` for each step count at which GenEval is compared.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "metrics": [_comparison_row(one, row) for one in comparison.metrics for row in one.rows],
        "outcome": comparison.outcome,
        "reason": comparison.reason,
        "primary": comparison.primary,
        "paired_by": ["prompt", "noise"] if comparison.same_noise else ["prompt"],
        "not_comparable": dict(comparison.not_comparable),
        "notes": list(comparison.notes),
        "flips": list(flips),
    }


def _comparison_row(one: MetricComparison, row: ComparisonRow) -> dict[str, Any]:
    return {
        "metric": one.metric,
        "steps": row.steps,
        "delta": row.overall.delta,
        "se": row.overall.se,
        "ci": _pair(row.overall.ci),
        "p_adjusted": row.p_adjusted,
        "outcome": row.outcome,
        "unit": one.unit,
        "higher_is_better": one.higher_is_better,
        "a": row.values[0],
        "b": row.values[1],
        "n": row.overall.n,
        "n_clusters": row.overall.n_clusters,
        "tasks": {name: {**asdict(task), "ci": _pair(task.ci)} for name, task in row.tasks.items()},
    }


def _entry(entry: Entry) -> dict[str, Any]:
    if entry.measures is None and entry.summary:
        document = geneval_document(entry.summary, run=entry.run)
    else:
        document = sweep_document(entry.summary, entry.measures, {}, run=entry.run)
    for row in document["rows"][: len(entry.summary.rows) if entry.summary else 0]:
        row |= {"source": entry.source(row["steps"]), "rank": entry.ranks.get(row["steps"])}
    return {
        **document,
        "model": entry.model,
        "prompts": prompts_of(document["suite"]),
        "hardware": entry.hardware,
        "unranked": entry.unranked,
    }


def _protocol(measure: Measure) -> dict[str, Any]:
    return {
        "sha256": measure.protocol_sha256,
        "unit": measure.unit,
        "higher_is_better": measure.higher_is_better,
        "method": measure.method,
        "record": dict(measure.protocol),
        "notes": list(measure.notes),
    }


def _measure_row(model: str, measure: Measure, row: MeasureRow) -> dict[str, Any]:
    return {
        "model": model,
        "metric": measure.metric,
        "protocol": measure.protocol_sha256,
        "steps": row.steps,
        "nfe": row.nfe,
        "source": "measured",
        "overall": _estimate(row.overall),
        "tasks": {name: _estimate(task) for name, task in row.tasks.items()},
        "seconds_per_image": row.seconds_per_image,
    }


def _measured_row(summary: Summary, row: Row) -> dict[str, Any]:
    document = {
        "model": summary.model,
        "metric": summary.metric,
        "steps": row.steps,
        "nfe": row.nfe,
        "source": "measured",
        "overall": _estimate(row.overall),
        "tasks": {name: _estimate(task) for name, task in row.tasks.items()},
        "seconds_per_image": row.seconds_per_image,
        "per_prompt": {name: _estimate(share) for name, share in row.per_prompt.items()},
        "reasons": dict(row.reasons),
        "sensitivity": None if row.sensitivity is None else asdict(row.sensitivity),
        "near_ties": asdict(row.near_ties),
        "num_empty": row.num_empty,
    }
    if row.seen is not None and row.unseen is not None:
        document |= {"seen": _estimate(row.seen), "unseen": _estimate(row.unseen)}
    return document


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {**asdict(estimate), "ci": _pair(estimate.ci)}


def _pair(pair: tuple[Any, Any] | None) -> list[Any] | None:
    return None if pair is None else list(pair)


def _verdict(metric: str, verdict: MonotonicityVerdict) -> dict[str, Any]:
    return {
        "metric": metric,
        "outcome": verdict.outcome,
        "delta": verdict.delta,
        "drawdown_lower": verdict.drawdown_lower,
        "drawdown_upper": verdict.drawdown_upper,
        "gain_lower": verdict.gain_lower,
        "worst_pair": _pair(verdict.worst_pair),
        "reason": verdict.reason,
    }
