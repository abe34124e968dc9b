"""The self-evaluation direction of checkpoints beside a converged teacher's, over s."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from selfe_eval.report import cells
from selfe_eval.report.experiment import TextTable
from selfe_eval.report.probe import TITLES
from selfe_eval.report.reference.results import PROBE, Results
from selfe_eval.stats.estimate import Z_TWO_SIDED


def probe_tables(results: Results) -> list[TextTable]:
    """A table for each measure, checkpoints by s; empty where nothing was probed."""
    document = results.documents.get(PROBE)
    if document is None:
        return []
    return [
        TextTable(
            title=title,
            headings=("checkpoint", "steps trained", *(f"s {row['s']:g}" for row in _rows(document))),
            rows=tuple(
                (
                    one["label"],
                    cells.DASH if one["train_steps"] is None else str(one["train_steps"]),
                    *(_cell(row[measure]) for row in one["rows"]),
                )
                for one in document["checkpoints"]
            ),
        )
        for measure, title in TITLES.items()
    ]


def probe_note(results: Results) -> str:
    """On what the checkpoints were compared."""
    document = results.documents.get(PROBE)
    return "" if document is None else " ".join(document["notes"])


def _rows(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    rows: list[Mapping[str, Any]] = document["checkpoints"][0]["rows"]
    return rows


def _cell(mean: Mapping[str, Any]) -> str:
    if mean["value"] is None:
        return cells.DASH
    half = "?" if mean["se"] is None else f"{Z_TWO_SIDED * mean['se']:.2f}"
    return f"{mean['value']:.2f} ±{half}"
