"""``skipped.jsonl``: the pictures that a training left out, one line each with the reason, sorted by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path


def add_skipped(path: Path, skipped: Mapping[str, str]) -> int:
    """Add names and reasons to the file, which is replaced in one step if it changes; one process writes to it.

    What a resumed training knows from before stays.

    Returns:
        How many pictures the file names.
    """
    known = _read(path)
    together = dict(sorted({**known, **skipped}.items()))
    if together != known:
        lines = [json.dumps({"name": name, "reason": reason}) + "\n" for name, reason in together.items()]
        partial = path.with_name(f"{path.name}.partial")
        partial.write_text("".join(lines), encoding="utf-8")
        partial.replace(path)
    return len(together)


def _read(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {record["name"]: record["reason"] for record in records}
