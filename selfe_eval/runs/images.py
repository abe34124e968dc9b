"""The records of ``images.jsonl``: which image lies where, made from which seed, with which hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfe_eval.errors import UntrustworthyError
from selfe_eval.records import ImageKey
from selfe_eval.runs import layout
from selfe_eval.runs.journal import read_journal


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """One image that has been made, or found."""

    key: ImageKey
    """Step count, prompt and index."""
    path: str
    """Relative to the run folder; absolute for images that somebody else made."""
    sha256: str
    """Of the file's bytes."""
    seed: int | None = None
    """The seed it was made from; None for images that somebody else made."""
    seconds: float | None = None
    """Wall time of its batch divided by the batch size; None for the warm-up batch and for foreign images."""

    def as_json(self) -> dict[str, Any]:
        """The line of ``images.jsonl``."""
        return {
            **key_json(self.key),
            "seed": self.seed,
            "path": self.path,
            "sha256": self.sha256,
            "seconds": self.seconds,
        }

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> ImageRecord:
        """Read a line of ``images.jsonl``. Raises KeyError where a field is missing."""
        return cls(
            key=key_from_json(record),
            path=record["path"],
            sha256=record["sha256"],
            seed=record["seed"],
            seconds=record["seconds"],
        )


def key_json(key: ImageKey) -> dict[str, int]:
    """The three fields that begin every record."""
    return {"steps": key.steps, "prompt_id": key.prompt_id, "image_index": key.image_index}


def key_from_json(record: Mapping[str, Any]) -> ImageKey:
    """The key of a record. Raises KeyError where a field is missing."""
    return ImageKey(
        steps=int(record["steps"]), prompt_id=int(record["prompt_id"]), image_index=int(record["image_index"])
    )


def read_images(path: Path) -> dict[ImageKey, ImageRecord]:
    """All image records by key.

    Raises:
        UntrustworthyError: a line is damaged, lacks a field, repeats a key, or leads out of the run folder.
    """
    records: dict[ImageKey, ImageRecord] = {}
    for number, line in enumerate(read_journal(path), start=1):
        try:
            record = ImageRecord.from_json(line)
            leads_out = _leads_out(record)
        except (KeyError, TypeError, ValueError) as error:
            raise UntrustworthyError(
                f"Line {number} of {path} is no image record: {type(error).__name__} {error}. Expected the "
                "fields steps, prompt_id, image_index, seed, path, sha256, seconds. Delete that line and "
                "resume the run: the image is then made again."
            ) from error
        if leads_out:
            raise UntrustworthyError(
                f"Line {number} of {path} says that {record.key} lies at {record.path!r}, outside the run folder: expected "
                f"{layout.image_path(record.key)}. Only images that somebody else made lie elsewhere, and they have no seed. "
                "Delete that line and resume the run: the image is then made again."
            )
        if record.key in records:
            raise UntrustworthyError(
                f"Line {number} of {path} repeats the record of {record.key}. Something other than "
                "selfe-eval wrote to this file. Delete one of the two lines and resume the run."
            )
        records[record.key] = record
    return records


def _leads_out(record: ImageRecord) -> bool:
    """Whether a file outside the run folder would be read for an image that was not found there."""
    if Path(record.path).is_absolute():
        return record.seed is not None
    return ".." in Path(record.path).parts
