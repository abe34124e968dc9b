"""The rows that papers print: shown apart, without interval, never ranked, compared or gated."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from selfe_eval.resources import published_dir

FEATURED_MODELS = ("Self-E", "FLUX.1-dev")
"""The model of the paper, and the many-step model whose architecture it follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRow:
    """One printed row. Shares of correct images, as printed."""

    model: str
    """As the paper names it."""
    steps: int
    """Number of sampling steps."""
    overall: float
    """As printed."""
    tasks: Mapping[str, float]
    """The six tasks as printed; empty where the paper prints the overall alone."""
    reference: str
    """Paper and table."""
    erratum: str = ""
    """What is wrong with the printed numbers; empty if nothing is known."""


@lru_cache(maxsize=1)
def published_rows() -> tuple[PublishedRow, ...]:
    """Table 1 of every file in the folder of published results, by model in the paper's order, then steps."""
    rows = [
        row for path in sorted(published_dir().glob("*.json")) for row in _rows(json.loads(path.read_bytes()))
    ]
    order = list(dict.fromkeys(row.model for row in rows))
    return tuple(sorted(rows, key=lambda row: (order.index(row.model), row.steps)))


def featured_rows() -> tuple[PublishedRow, ...]:
    """The rows of FEATURED_MODELS: what `geneval` shows below its own."""
    return tuple(row for row in published_rows() if row.model in FEATURED_MODELS)


def _rows(document: Mapping[str, Any]) -> list[PublishedRow]:
    errata = {
        (entry["model"], entry["steps"]): (
            f"{entry['column']} is printed as {entry['printed']} and must be {entry['implied_by_overall']}: "
            f"{entry['why']}"
        )
        for entry in document["errata"]
    }
    return [
        PublishedRow(
            model=row["model"],
            steps=row["steps"],
            overall=row["overall"],
            tasks=row["tasks"],
            reference=f"{document['source']['reference']}, Table 1",
            erratum=errata.get((row["model"], row["steps"]), ""),
        )
        for row in document["table1"]
    ]
