"""The ablations that papers print: shown beside ours, on another scale, never ranked or compared with them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from selfe_eval.report import cells
from selfe_eval.report.experiment import ExperimentReport, TextTable
from selfe_eval.resources import published_dir


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedAblation:
    """One printed row of an ablation."""

    model: str
    """As the paper names it."""
    iterations: int
    """Training iterations."""
    overall: Mapping[int, float]
    """Step count -> share of correct images, as printed."""
    reference: str
    """Paper and table."""


@lru_cache(maxsize=1)
def published_ablations() -> tuple[PublishedAblation, ...]:
    """Table 2 of every file in the folder of published results, in the paper's order."""
    documents = [json.loads(path.read_bytes()) for path in sorted(published_dir().glob("*.json"))]
    return tuple(
        PublishedAblation(
            model=row["model"],
            iterations=row["iterations"],
            overall={int(steps): share for steps, share in row["overall"].items()},
            reference=f"{document['source']['reference']}, Table 2",
        )
        for document in documents
        for row in document.get("table2", [])
    )


def ablations_table(rows: Sequence[PublishedAblation]) -> TextTable:
    """The rows as a table: on another scale than anything measured here."""
    counts = sorted({steps for row in rows for steps in row.overall})
    return TextTable(
        title="Published †, on another scale; not ranked with ours",
        headings=("model †", "iterations", *(f"{count} steps" for count in counts)),
        rows=tuple(
            (
                row.model,
                f"{row.iterations // 1000}k",
                *(cells.percent(row.overall.get(count)) for count in counts),
            )
            for row in rows
        ),
    )


def ablations_report(rows: Sequence[PublishedAblation]) -> ExperimentReport:
    """The table with what one has to know to read it; empty where there are no rows."""
    sources = "; ".join(dict.fromkeys(row.reference for row in rows))
    note = (
        f"† published ({sources}), not measured here: the paper's 0.5B model at 256 px, overall scores on GenEval's own "
        "prompts and detector, without interval."
    )
    return ExperimentReport(
        tables=(ablations_table(rows),) if rows else (),
        notes=(note,) if rows else (),
        document={},
        records=(),
    )
