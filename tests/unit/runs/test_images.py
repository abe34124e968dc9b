from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from selfe_eval.errors import UntrustworthyError
from selfe_eval.records import ImageKey
from selfe_eval.runs.images import ImageRecord, read_images
from selfe_eval.runs.journal import append_records

RECORD = ImageRecord(
    key=ImageKey(steps=4, prompt_id=17, image_index=2), path="a.png", sha256="0" * 64, seed=5, seconds=0.25
)


def test_a_record_reads_back(tmp_path: Path) -> None:
    """images.jsonl holds every field of the record."""
    append_records(tmp_path / "i.jsonl", [RECORD.as_json()])
    assert read_images(tmp_path / "i.jsonl") == {RECORD.key: RECORD}


def test_a_repeated_key_is_an_error(tmp_path: Path) -> None:
    """An image is recorded once, or nothing that counts images can be believed."""
    append_records(tmp_path / "i.jsonl", [RECORD.as_json(), RECORD.as_json()])
    with pytest.raises(UntrustworthyError, match=r"Line 2 .* repeats"):
        read_images(tmp_path / "i.jsonl")


def test_a_line_without_a_field_is_an_error(tmp_path: Path) -> None:
    """A line that is JSON but no image record names file, line and field."""
    (tmp_path / "i.jsonl").write_text(json.dumps({**RECORD.as_json(), "steps": "x"}) + "\n")
    with pytest.raises(UntrustworthyError, match=r"Line 1 .* is no image record"):
        read_images(tmp_path / "i.jsonl")


@pytest.mark.parametrize("path", ["../other/a.png", "images/../../a.png", "/etc/hostname"])
def test_a_drawn_image_lies_in_its_run(tmp_path: Path, path: str) -> None:
    """A journal that somebody else wrote cannot make a report or a sheet read a file outside the run folder."""
    append_records(tmp_path / "i.jsonl", [replace(RECORD, path=path).as_json()])
    with pytest.raises(
        UntrustworthyError, match=r"Line 1 .* outside the run folder: expected images/steps-004/"
    ):
        read_images(tmp_path / "i.jsonl")


def test_an_image_that_was_found_lies_anywhere_and_says_where(tmp_path: Path) -> None:
    """Images without a seed may have an absolute path; a relative one stays in the run folder."""
    found = replace(RECORD, path="/pictures/a.png", seed=None)
    append_records(tmp_path / "i.jsonl", [found.as_json()])
    assert read_images(tmp_path / "i.jsonl") == {found.key: found}
    append_records(tmp_path / "j.jsonl", [replace(found, path="../a.png").as_json()])
    with pytest.raises(UntrustworthyError, match="outside the run folder"):
        read_images(tmp_path / "j.jsonl")
