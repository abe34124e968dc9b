"""What is measured of a run, and with which files. No part of the run's spec, which decides the images alone.

Kept so that ``resume`` goes on with all of it. Numbers are identified by what they were computed with, hashes
included, not by these paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from selfe_eval.metrics import METRICS, Need


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

    @property
    def is_judged(self) -> bool:
        """Whether GenEval is among the metrics."""
        return "judge" in self._needs

    @property
    def _needs(self) -> set[Need]:
        return {METRICS[_bare(typed)].need for typed in self.metrics}

    def joined(self, later: MeasureOptions) -> MeasureOptions:
        """These metrics and later ones; an option follows the later metrics where one of them reads it.

        A run has one protocol of CLIP-score and one reference: with another one, the later metrics that read it take the
        place of the former.

        >>> clip = MeasureOptions(metrics=("clip-score",), clip_protocol="hessel")
        >>> both = clip.joined(MeasureOptions(metrics=("geneval",)))
        >>> both.metrics, both.clip_protocol
        (('geneval', 'clip-score'), 'hessel')
        """
        order = list(METRICS)
        replaced = {
            need
            for need, former, now in (
                ("captions", self.clip_protocol, later.clip_protocol),
                ("reference", self.reference, later.reference),
            )
            if need in later._needs and former != now
        }
        kept = {typed for typed in self.metrics if METRICS[_bare(typed)].need not in replaced}
        return MeasureOptions(
            metrics=tuple(
                sorted(kept.union(later.metrics), key=lambda typed: (order.index(_bare(typed)), typed))
            ),
            reference=later.reference if "reference" in later._needs else self.reference,
            clip_protocol=later.clip_protocol if "captions" in later._needs else self.clip_protocol,
            weights={**self.weights, **later.weights},
        )

    def measured_with(self, weights: Mapping[str, str | None]) -> MeasureOptions:
        """The same with the weights that were used, so that whoever goes on uses no others.

        Args:
            weights: Name of an extractor -> path; None where its weights were looked for.

        >>> MeasureOptions(weights={"dinov2": "/a"}).measured_with({"dinov2": None, "inception": "/b"}).weights
        {'inception': '/b'}
        """
        used = {**self.weights, **weights}
        return replace(self, weights={name: path for name, path in used.items() if path is not None})

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
