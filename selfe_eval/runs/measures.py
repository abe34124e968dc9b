"""What is measured of a run, and with which files. No part of the run's spec, which decides the images alone.

Kept so that ``resume`` goes on with all of it. Numbers are identified by what they were computed with, hashes
included, not by these paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from selfe_eval.metrics import METRICS


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

    def joined(self, later: MeasureOptions) -> MeasureOptions:
        """These metrics and later ones; an option follows the later metrics where one of them reads it.

        >>> clip = MeasureOptions(metrics=("clip-score",), clip_protocol="hessel")
        >>> both = clip.joined(MeasureOptions(metrics=("geneval",)))
        >>> both.metrics, both.clip_protocol
        (('geneval', 'clip-score'), 'hessel')
        """
        needs = {METRICS[_bare(typed)].need for typed in later.metrics}
        order = list(METRICS)
        return MeasureOptions(
            metrics=tuple(
                sorted({*self.metrics, *later.metrics}, key=lambda typed: (order.index(_bare(typed)), typed))
            ),
            reference=later.reference if "reference" in needs else self.reference,
            clip_protocol=later.clip_protocol if "captions" in needs else self.clip_protocol,
            weights={**self.weights, **later.weights},
        )

    def as_json(self) -> dict[str, Any]:
        """The ``measures`` object of ``run.json``."""
        return {**asdict(self), "metrics": list(self.metrics), "weights": dict(self.weights)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> MeasureOptions:
        """Read the ``measures`` object of ``run.json``.

        Raises:
            TypeError: fields are missing or unknown.
            ValueError: there is no such metric.
        """
        unknown = [typed for typed in document["metrics"] if _bare(typed) not in METRICS]
        if unknown:
            raise ValueError(f"metrics {unknown!r}")
        return cls(
            **{**document, "metrics": tuple(document["metrics"]), "weights": dict(document["weights"])}
        )


def _bare(typed: str) -> str:
    """Key of the table of metrics, without the extractor in brackets."""
    return typed.partition("[")[0]
