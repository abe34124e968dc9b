from __future__ import annotations

import os
from pathlib import Path

import pytest

from selfe_eval.runs.atomic import atomic_write, atomic_write_json


def test_a_file_is_old_or_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the rename fails, the old content stays, no temporary file does, and the error names the path."""
    path = tmp_path / "file"
    atomic_write(path, b"old")

    def refuse(_source: Path, _target: Path) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        with pytest.raises(OSError, match="Read-only") as failure:
            atomic_write(path, b"new")
    assert failure.value.filename == str(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    atomic_write(path, b"new")
    assert path.read_bytes() == b"new"


def test_json_ends_in_a_newline_and_holds_no_nan(tmp_path: Path) -> None:
    """JSON files are text files, and never say NaN."""
    atomic_write_json(tmp_path / "a.json", {"b": "ü"})
    assert (tmp_path / "a.json").read_text() == '{\n  "b": "ü"\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        atomic_write_json(tmp_path / "a.json", {"b": float("nan")})
