"""The ablations that papers print: shown beside ours, on another scale, never ranked or compared with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

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
