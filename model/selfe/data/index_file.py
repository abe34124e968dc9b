"""What was learnt of a data set's pictures, kept as columns: in memory without an object for each, on disk as one file.

An index is remembered in a folder that the caller names, since data may lie where nobody may write. Everything in it can be
found again, so a file that cannot be read is as good as none.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

VERSION = 1
"""Of the columns and of how they are found; part of the file's name."""
Columns = Mapping[str, NDArray[Any]]
"""Arrays by name."""


class Texts:
    """Many texts in one array of bytes; about as large as they are."""

    def __init__(self, content: NDArray[np.uint8], ends: NDArray[np.int64]) -> None:
        """Hold UTF-8 bytes and where each text ends."""
        self.content = content
        self.ends = ends

    @classmethod
    def of(cls, texts: Iterable[str]) -> Texts:
        """Pack texts. Lone surrogates (file names that are not UTF-8) survive."""
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        ends = np.cumsum([len(text) for text in encoded], dtype=np.int64)
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), ends)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, number: int) -> str:
        start = self.ends[number - 1] if number else 0
        return self.content[start : self.ends[number]].tobytes().decode("utf-8", "surrogatepass")


def index_path(cache: Path, data: Path) -> Path:
    """Where the index of a folder or shard is remembered."""
    digest = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()
    return cache / f"pictures-v{VERSION}-{digest[:24]}.npz"


def remember(path: Path, columns: Columns) -> None:
    """Replace the index file; several processes may do so at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.savez(file, allow_pickle=False, **columns)
    partial.replace(path)


def recall(path: Path) -> Columns | None:
    """The index file's columns; None where there is none, or one that cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as columns:
            return dict(columns)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None
