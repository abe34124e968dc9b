"""What is measured of a run, and with which files. No part of the run's spec, which decides the images alone.

Kept so that ``resume`` goes on with all of it. Numbers are identified by what they were computed with, hashes
included, not by these paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureOptions:
    """What a caller may choose about the metrics of a run."""

    metrics: tuple[str, ...] = ("geneval",)
    """As typed: keys of the table of metrics, or ``name[extractor]``, each once, in the table's order."""
    reference: str | None = None
    """Absolute path of a folder of images, of statistics, or of a run (``@STEPS`` behind it names a step count);
    None for the suite's own."""
    clip_protocol: str = "default"
    """How CLIP-score is computed."""
    weights: Mapping[str, str] = field(default_factory=dict)
    """Name of an extractor -> absolute path of its weights, where they are not looked for."""

    def as_json(self) -> dict[str, Any]:
        """The ``measures`` object of ``run.json``."""
        return {**asdict(self), "metrics": list(self.metrics), "weights": dict(self.weights)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> MeasureOptions:
        """Read the ``measures`` object of ``run.json``.

        Raises:
            TypeError: fields are missing or unknown.
        """
        return cls(
            **{**document, "metrics": tuple(document["metrics"]), "weights": dict(document["weights"])}
        )
