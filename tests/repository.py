"""What is committed here, and the file maps that the READMEs draw of it."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

_MAP = re.compile(r"<!-- file map -->\n+```[a-z]*\n(.*?)```", re.DOTALL)
_INDENT = 2


@cache
def committed_files() -> tuple[Path, ...]:
    """The files under version control that are on disk, relative to ROOT; without git the test is skipped."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: what is committed cannot be told from what lies here")
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", str(ROOT), "ls-files", "-z"],  # noqa: S607 - the user's git
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return tuple(Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file())


def committed_entries(folder: Path) -> set[str]:
    """Names in a folder that hold something committed; folders end in a slash, hidden names are left out."""
    depth = len(folder.parts)
    below = [path.parts[depth:] for path in committed_files() if path.parts[:depth] == folder.parts]
    names = {parts[0] + ("/" if len(parts) > 1 else "") for parts in below}
    return {name for name in names if not name.startswith(".")}


def file_map(document: Path) -> dict[Path, set[str]]:
    """Folder -> entries that a document's file map names in it, for each folder that the map opens.

    The map is the code block below the line ``<!-- file map -->``: one entry a line, two spaces of indent for
    each level, folders with a slash at the end, paths relative to the document's folder.
    """
    found = _MAP.search((ROOT / document).read_text(encoding="utf-8"))
    assert found, f"{document} has no file map"
    opened: dict[Path, set[str]] = {}
    above = [document.parent]
    for line in found.group(1).splitlines():
        name = line.split()[0]
        level = (len(line) - len(line.lstrip())) // _INDENT
        del above[level + 1 :]
        opened.setdefault(above[level], set()).add(name)
        above.append(above[level] / name)
    return opened
