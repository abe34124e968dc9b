"""The rows that others print: shown apart, without interval, never ranked, compared or gated."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from selfe_eval.resources import published_dir

FEATURED_MODELS = ("Self-E", "FLUX.1-dev")
"""The model of the paper, and the many-step model whose architecture it follows."""

_TABLES = {"table1": "Table 1", "readme": "README"}
"""Key of a table in a file of published rows -> what it is called there."""

_MARKS = "†§¶"
"""Of the sources, in the order in which they are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRow:
    """One printed row. Shares of correct images, as printed."""

    model: str
    """As its source names it."""
    steps: int | None
    """Number of sampling steps; None for what has none."""
    overall: float
    """As printed."""
    tasks: Mapping[str, float]
    """The six tasks as printed; empty where the overall alone is printed."""
    reference: str
    """Source and table."""
    erratum: str = ""
    """What is wrong with the printed numbers; empty if nothing is known."""
    note: str = ""
    """What a reader may stumble over and is right."""


@lru_cache(maxsize=1)
def published_rows() -> tuple[PublishedRow, ...]:
    """The tables of GenEval of every file in the folder of published results: by source, model and steps."""
    documents = [json.loads(path.read_bytes()) for path in sorted(published_dir().glob("*.json"))]
    rows = [row for table in _TABLES for document in documents for row in _rows(document, table)]
    order = list(dict.fromkeys((row.reference, row.model) for row in rows))
    return tuple(sorted(rows, key=lambda row: (order.index((row.reference, row.model)), row.steps or 0)))


def featured_rows() -> tuple[PublishedRow, ...]:
    """The rows of FEATURED_MODELS: what `geneval` shows below its own."""
    return tuple(row for row in published_rows() if row.model in FEATURED_MODELS)


def source_marks(rows: Sequence[PublishedRow]) -> dict[str, str]:
    """Source and table -> its mark, in order of first appearance."""
    return dict(zip(dict.fromkeys(row.reference for row in rows), _MARKS, strict=False))


def _rows(document: Mapping[str, Any], table: str) -> list[PublishedRow]:
    errata = {
        (entry["model"], entry["steps"]): (
            f"{entry['column']} is printed as {entry['printed']} and must be {entry['implied_by_overall']}: "
            f"{entry['why']}"
        )
        for entry in document["errata"]
    }
    notes = {(entry["model"], entry["steps"]): entry["note"] for entry in document.get("notes", [])}
    return [
        PublishedRow(
            model=row["model"],
            steps=row["steps"],
            overall=row["overall"],
            tasks=row["tasks"],
            reference=f"{document['source']['reference']}, {_TABLES[table]}",
            erratum=errata.get((row["model"], row["steps"]), ""),
            note=notes.get((row["model"], row["steps"]), ""),
        )
        for row in document.get(table, [])
    ]
