from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfe_eval.errors import UntrustworthyError
from selfe_eval.runs.journal import append_records, read_journal, rewrite_journal

RECORDS = [{"n": 1, "text": "a"}, {"n": 2, "text": "zwei\nLines"}, {"n": 3, "text": "päck"}]


@given(st.lists(st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.booleans()), max_size=3)))
def test_what_was_appended_is_read(tmp_path_factory: pytest.TempPathFactory, records: list[Any]) -> None:
    """Reading gives the appended records, in order, whatever text they hold."""
    path = tmp_path_factory.mktemp("journal") / "j.jsonl"
    for record in records:
        append_records(path, [record])
    assert read_journal(path) == records


def test_a_journal_cut_at_any_byte_keeps_every_whole_record(tmp_path: Path) -> None:
    """Cut at any byte, a journal yields exactly the records whose newline survived, and takes new ones."""
    path = tmp_path / "j.jsonl"
    append_records(path, RECORDS)
    content = path.read_bytes()
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        whole = RECORDS[: content[:length].count(b"\n")]
        assert read_journal(path) == whole
        append_records(path, [{"n": 9}])
        assert read_journal(path) == [*whole, {"n": 9}]


def test_a_torn_line_longer_than_a_chunk_is_cut_off_whole(tmp_path: Path) -> None:
    """The search for the last newline does not stop at a block border."""
    path = tmp_path / "j.jsonl"
    path.write_bytes(b'{"n": 1}\n{"text": "' + b"x" * 200_000)
    append_records(path, [{"n": 2}])
    assert path.read_bytes() == b'{"n": 1}\n{"n": 2}\n'


@pytest.mark.parametrize("line", [b"[2]", b'{"n": ', b'{"n": NaN}', b'{"n": -Infinity}'])
def test_a_damaged_whole_line_is_an_error(tmp_path: Path, line: bytes) -> None:
    """A broken line that ends in a newline was not left by a crash: it is reported with file and number."""
    path = tmp_path / "j.jsonl"
    path.write_bytes(b'{"n": 1}\n' + line + b'\n{"n": 3}\n')
    with pytest.raises(UntrustworthyError, match=r"Line 2 of .*j\.jsonl is damaged"):
        read_journal(path)


def test_nothing_to_append_touches_nothing(tmp_path: Path) -> None:
    """Appending no records creates no file."""
    append_records(tmp_path / "j.jsonl", [])
    assert not (tmp_path / "j.jsonl").exists()
    assert read_journal(tmp_path / "j.jsonl") == []


def test_a_failed_append_leaves_the_journal_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the disk fills up in the middle of an append, the old records stay and the path is named."""
    path = tmp_path / "j.jsonl"
    append_records(path, RECORDS)
    before = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as failure:
        append_records(path, [{"n": 4}])
    assert failure.value.filename == str(path)
    assert path.read_bytes() == before


def test_nan_cannot_be_written(tmp_path: Path) -> None:
    """A NaN is no JSON; it is refused rather than read back as something else."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        append_records(tmp_path / "j.jsonl", [{"value": float("nan")}])


def test_a_rewritten_journal_holds_only_the_new_records(tmp_path: Path) -> None:
    """Rewriting replaces all lines and leaves no other file."""
    path = tmp_path / "j.jsonl"
    append_records(path, RECORDS)
    rewrite_journal(path, RECORDS[1:])
    assert [json.loads(line) for line in path.read_text().splitlines()] == RECORDS[1:]
    assert list(tmp_path.iterdir()) == [path]
