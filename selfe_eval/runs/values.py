"""The records of ``scores/<metric>.jsonl`` for metrics that give each image a number: CLIP-score, spread.

The file follows from stored features in no time, so it is written whole and never appended to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfe_eval.errors import UntrustworthyError
from selfe_eval.records import ImageKey
from selfe_eval.runs.images import key_from_json, key_json
from selfe_eval.runs.journal import read_journal, rewrite_journal


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueRecord:
    """The number of one image."""

    key: ImageKey
    """Step count, prompt and index."""
    value: float
    """In the metric's units; finite."""
    image_sha256: str
    """Of the file that was looked at."""
    scorer: str
    """First 16 digits of the hash of the metric's protocol."""

    def as_json(self) -> dict[str, Any]:
        """The line of the file."""
        return {
            **key_json(self.key),
            "value": self.value,
            "image_sha256": self.image_sha256,
            "scorer": self.scorer,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> ValueRecord:
        """Read a line. Raises KeyError where a field is missing, ValueError where the value is no number."""
        value = float(record["value"])
        if not math.isfinite(value):
            raise ValueError(f"value is {value}")
        return cls(
            key=key_from_json(record),
            value=value,
            image_sha256=record["image_sha256"],
            scorer=record["scorer"],
        )


def write_values(path: Path, records: Sequence[ValueRecord]) -> None:
    """Replace the file in one step."""
    rewrite_journal(path, [record.as_json() for record in records])


def read_values(path: Path) -> dict[ImageKey, ValueRecord]:
    """All records by key.

    Raises:
        UntrustworthyError: a line is damaged, lacks a field, or repeats a key.
    """
    records: dict[ImageKey, ValueRecord] = {}
    for number, line in enumerate(read_journal(path), start=1):
        try:
            record = ValueRecord.from_json(line)
            if record.key in records:
                raise ValueError(f"{record.key} is repeated")  # noqa: TRY301 - joins the other damage
        except (KeyError, TypeError, ValueError) as error:
            raise UntrustworthyError(
                f"Line {number} of {path} is no value of an image: {type(error).__name__} {error}. Delete that "
                "file and score the run again; images and features stay."
            ) from error
        records[record.key] = record
    return records
