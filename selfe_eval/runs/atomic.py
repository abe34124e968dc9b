"""Write a file so that a reader sees the old content or the new, never half of one.

The content goes to a temporary file in the same folder, which is then renamed over the target (`os.replace`).
Accepted trade-off: no fsync here. After kill -9 the page cache survives, so a finished rename is a finished
file; after a power cut a file may be empty, which the SHA-256 in its record shows, and the image is made
again. The journals (`journal.py`), which hold those hashes, are synced.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TEMPORARY_SUFFIX = ".tmp"
"""Ends the name of a file that is not finished; whoever finds one may delete it."""


def atomic_write(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, whose folder exists. Raises OSError and leaves no temporary file."""
    temporary = path.with_name(f".{path.name}{TEMPORARY_SUFFIX}")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)  # noqa: PTH105 - the one call whose atomicity this module is about
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if error.filename is None:
            error.filename = str(path)
        raise


def atomic_write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON document for people and programs: two spaces, keys in the given order, NaN refused."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    atomic_write(path, text.encode() + b"\n")
