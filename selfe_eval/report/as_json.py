"""The ``--json`` documents. Scripts rely on their keys: add, never rename."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from selfe_eval.report.comparison import Comparison
from selfe_eval.report.published import PublishedRow
from selfe_eval.report.summary import METRIC, Row, Summary
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
        "verdict": _verdict(summary),
    }


def leaderboard_document(
    entries: Sequence[tuple[str, Summary]], published: Sequence[PublishedRow]
) -> dict[str, Any]:
    """The document of ``leaderboard --format json``: (run folder, summary) pairs; published rows apart."""
    return {
        "schema_version": SCHEMA_VERSION,
        "runs": [{**geneval_document(summary, run=run), "model": summary.model} for run, summary in entries],
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
            }
            for row in published
        ],
    }


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """The document of ``compare --json``."""
    return {
        "schema_version": SCHEMA_VERSION,
        "metrics": [
            {
                "metric": comparison.metric,
                "steps": row.steps,
                "delta": row.overall.delta,
                "se": row.overall.se,
                "ci": _pair(row.overall.ci),
                "p_adjusted": row.p_adjusted,
                "outcome": row.outcome,
            }
            for row in comparison.rows
        ],
        "outcome": comparison.outcome,
        "reason": comparison.reason,
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


def _verdict(summary: Summary) -> dict[str, Any]:
    verdict = summary.verdict
    return {
        "metric": summary.metric,
        "outcome": verdict.outcome,
        "delta": verdict.delta,
        "drawdown_lower": verdict.drawdown_lower,
        "drawdown_upper": verdict.drawdown_upper,
        "gain_lower": verdict.gain_lower,
        "worst_pair": _pair(verdict.worst_pair),
        "reason": verdict.reason,
    }
