"""The records of ``scores/<metric>.jsonl``: a verdict with its evidence, or null with a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfe_eval.errors import UntrustworthyError
from selfe_eval.records import ImageKey
from selfe_eval.runs.images import key_from_json, key_json
from selfe_eval.runs.journal import read_journal

_NOT_PROTOCOL = frozenset({"config_file", "device", "releases", "torch", "weights_file"})
"""Keys of a scorer's description that may differ between two runs that are still comparable. ``releases`` are those of
libraries that decide nothing which the description does not state: see `ClipModel.library`."""


def protocol_of(description: Any) -> Any:
    """A scorer's description without what belongs to the machine: what scores are identified and compared by."""
    if isinstance(description, Mapping):
        return {key: protocol_of(v) for key, v in description.items() if key not in _NOT_PROTOCOL}
    return description


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRecord:
    """One scored image."""

    key: ImageKey
    """Step count, prompt and index."""
    correct: bool | None
    """The verdict; None where the image could not be scored, which is never a zero."""
    reason: str
    """Why it is wrong, or why there is no verdict."""
    objects: Mapping[str, Any] = field(default_factory=dict)
    """Class name -> list of ``{"box", "score", "color"}``: what the verdict rests on."""
    weaker: Mapping[str, Any] = field(default_factory=dict)
    """The same for objects that miss the threshold by little: what lower thresholds would change."""
    near_ties: int = 0
    """How many colours rounding could have decided otherwise."""
    image_sha256: str | None
    """Of the file that was scored; None where there was none."""
    scorer: str
    """First 16 digits of the hash of the scorer's description, the machine left out."""

    def as_json(self) -> dict[str, Any]:
        """The line of the journal."""
        return {
            **key_json(self.key),
            "correct": self.correct,
            "reason": self.reason,
            "objects": dict(self.objects),
            "weaker": dict(self.weaker),
            "near_ties": self.near_ties,
            "image_sha256": self.image_sha256,
            "scorer": self.scorer,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> ScoreRecord:
        """Read a line of the journal. Raises KeyError where a field is missing."""
        correct = record["correct"]
        if correct not in {True, False, None}:
            raise ValueError(f"correct is {correct!r}")
        return cls(
            key=key_from_json(record),
            correct=correct,
            reason=record["reason"],
            objects=record["objects"],
            weaker=record["weaker"],
            near_ties=int(record["near_ties"]),
            image_sha256=record["image_sha256"],
            scorer=record["scorer"],
        )


def read_scores(path: Path) -> dict[ImageKey, ScoreRecord]:
    """All score records by key.

    Raises:
        UntrustworthyError: a line is damaged, lacks a field, or repeats a key.
    """
    records: dict[ImageKey, ScoreRecord] = {}
    for number, line in enumerate(read_journal(path), start=1):
        try:
            record = ScoreRecord.from_json(line)
        except (KeyError, TypeError, ValueError) as error:
            raise UntrustworthyError(
                f"Line {number} of {path} is no score record: {type(error).__name__} {error}. Delete that "
                "file and score the run again; the images stay."
            ) from error
        if record.key in records:
            raise UntrustworthyError(
                f"Line {number} of {path} repeats the score of {record.key}. Delete that file and score "
                "the run again; the images stay."
            )
        records[record.key] = record
    return records
