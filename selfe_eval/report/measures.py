"""The numbers of a run beside GenEval: every metric with its protocol, its intervals and its verdict.

``metrics.json`` holds them, as ``summary.json`` holds GenEval's: plain JSON without NaN, where what is not known is
null. A metric is its protocol: two numbers are comparable where name and hash of the protocol are equal.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, get_args

from selfe_eval.errors import UntrustworthyError
from selfe_eval.metrics import METRICS, Unit
from selfe_eval.provenance import json_sha256
from selfe_eval.report.summary import estimate_from_json, verdict_from_json
from selfe_eval.stats.drawdown import MonotonicityVerdict
from selfe_eval.stats.estimate import Estimate

SCHEMA_VERSION = 1
"""Of ``metrics.json``. Another number is refused, never guessed at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureRow:
    """One metric at one step count."""

    steps: int
    """Number of sampling steps."""
    nfe: int | None
    """Network evaluations an image; None for images that somebody else made."""
    overall: Estimate
    """Over all images, in units of the metric."""
    tasks: Mapping[str, Estimate]
    """Of the images of each task; empty where the metric is no mean of images."""
    seconds_per_image: float | None
    """Median wall time of an image, generation only; None where unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One metric over the step counts of a run."""

    metric: str
    """Full name, with the variant in brackets."""
    protocol: Mapping[str, Any]
    """Everything that decides the numbers but the images."""
    unit: Unit
    """What the values are."""
    higher_is_better: bool
    """Direction of the verdict."""
    method: str
    """How the estimates were made."""
    rows: tuple[MeasureRow, ...]
    """By ascending step count."""
    verdict: MonotonicityVerdict | None
    """Does it get better with the step count? None where no direction is better."""
    notes: tuple[str, ...]
    """What a reader must know, in sentences."""

    @property
    def protocol_sha256(self) -> str:
        """Of ``protocol``: equal where two runs were measured alike."""
        return json_sha256(self.protocol)

    @property
    def kind(self) -> str:
        """Key of the table of metrics: the name without its variant."""
        return self.metric.partition("[")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureSet:
    """The metrics of a run beside GenEval, and what they rest on."""

    model: str
    """Name of the model."""
    suite: str
    """Name of the suite."""
    suite_sha256: str
    """Of the suite's metadata lines."""
    partial: bool
    """True where prompts were left out or images are missing: barred from leaderboard and gate."""
    num_prompts: int
    """Number of prompts the run covers."""
    images_per_prompt: int
    """Planned images of each prompt at each step count."""
    spec_sha256: str
    """Of what the run was asked to do."""
    measures: tuple[Measure, ...]
    """In the order of the table of metrics."""

    def as_json(self) -> dict[str, Any]:
        """The document ``metrics.json``."""
        document = {"schema_version": SCHEMA_VERSION, **asdict(self)}
        document["measures"] = [
            {"metric": one.metric, "protocol_sha256": one.protocol_sha256, **asdict(one)}
            for one in self.measures
        ]
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> MeasureSet:
        """Read the document ``metrics.json``.

        Raises:
            UntrustworthyError: another schema version, or fields that are missing or of the wrong kind.
        """
        if document.get("schema_version") != SCHEMA_VERSION:
            raise UntrustworthyError(
                f"Expected metrics with schema_version {SCHEMA_VERSION}, found {document.get('schema_version')!r}. "
                "Summarise the run again with `selfe-eval summarise RUN`."
            )
        try:
            plain = {field.name: document[field.name] for field in fields(cls)}
            return cls(**{**plain, "measures": tuple(_measure(one) for one in document["measures"])})
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise UntrustworthyError(
                f"The metrics lack or garble a field: {type(error).__name__} {error}. They were edited, or written by "
                "another version. Summarise the run again with `selfe-eval summarise RUN`."
            ) from error


def measures_bytes(measures: MeasureSet) -> bytes:
    """The content of ``metrics.json``; NaN cannot be serialised."""
    return json.dumps(measures.as_json(), indent=2, allow_nan=False).encode() + b"\n"


def _measure(document: Mapping[str, Any]) -> Measure:
    verdict = document["verdict"]
    plain = {field.name: document[field.name] for field in fields(Measure)}
    measure = Measure(
        **{
            **plain,
            "rows": tuple(_row(row) for row in document["rows"]),
            "verdict": None if verdict is None else verdict_from_json(verdict),
            "notes": tuple(document["notes"]),
        }
    )
    if measure.protocol_sha256 != document["protocol_sha256"]:
        raise ValueError(f"protocol_sha256 {document['protocol_sha256']!r} of {measure.metric}")
    if measure.kind not in METRICS or measure.unit not in get_args(Unit):
        raise ValueError(f"metric {measure.metric!r} in the unit {measure.unit!r}")
    return measure


def _row(document: Mapping[str, Any]) -> MeasureRow:
    tasks = {name: estimate_from_json(task) for name, task in document["tasks"].items()}
    return MeasureRow(**{**document, "overall": estimate_from_json(document["overall"]), "tasks": tasks})
