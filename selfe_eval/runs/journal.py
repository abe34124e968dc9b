"""Append-only JSON lines that survive kill -9 at any byte.

A record counts once its newline is on disk. A last line without newline is the trace of a crash: reading
ignores it and appending cuts it off first. A broken line that does end in a newline is not a trace of a crash
but damage, and is an error. Every append is one write, flushed and synced.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from io import FileIO
from pathlib import Path
from typing import Any

from selfe_eval.errors import UntrustworthyError
from selfe_eval.runs.atomic import atomic_write

_CHUNK_BYTES = 1 << 16


def read_journal(path: Path) -> list[dict[str, Any]]:
    """All whole records, in the order they were written; none where the file does not exist.

    Raises:
        UntrustworthyError: a line is damaged (is no JSON object though it ends in a newline).
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    whole, _, _torn = content.rpartition(b"\n")
    lines = whole.split(b"\n") if whole else []
    return [_parse(line, path, number) for number, line in enumerate(lines, start=1)]


def append_records(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Append records, after cutting off a torn last line, and sync them to the disk.

    Raises:
        OSError: the disk is full or not writable; then the file is as long as it was before.
    """
    content = journal_bytes(records)
    if not content:
        return
    try:
        with path.open("ab+", buffering=0) as stream:
            length = _cut_torn_line(stream)
            _append_or_restore(stream, content, length)
    except OSError as error:
        error.filename = str(path)
        raise


def rewrite_journal(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Replace the whole journal in one step (used where records became stale)."""
    atomic_write(path, journal_bytes(records))


def journal_bytes(records: Iterable[Mapping[str, Any]]) -> bytes:
    """The bytes of a journal that holds these records."""
    return b"".join(json.dumps(record, allow_nan=False).encode() + b"\n" for record in records)


def _parse(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line, parse_constant=refuse_constant)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise UntrustworthyError(
            f"Line {number} of {path} is damaged: expected one JSON object, found {line[:60]!r}. This is not "
            "the trace of a crash (only a last line without newline is). Restore the file, or delete that "
            "line: the images or scores it stood for are then made again by `selfe-eval resume`."
        )
    return record


def refuse_constant(name: str) -> None:
    """For ``json``'s ``parse_constant``: NaN and infinities, which JSON does not have.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"{name} is no number")


def _cut_torn_line(stream: FileIO) -> int:
    """Cut what follows the last newline; returns the length that is left, in bytes."""
    end = stream.seek(0, os.SEEK_END)
    position, tail = end, b""
    while position > 0 and b"\n" not in tail:
        step = min(_CHUNK_BYTES, position)
        position -= step
        stream.seek(position)
        tail = stream.read(step)
    length = position + tail.rfind(b"\n") + 1
    if length < end:
        stream.truncate(length)
    return length


def _append_or_restore(stream: FileIO, content: bytes, length: int) -> None:
    try:
        written = 0
        while written < len(content):
            written += stream.write(content[written:])
        os.fsync(stream.fileno())
    except OSError:
        with contextlib.suppress(OSError):
            stream.truncate(length)
        raise
