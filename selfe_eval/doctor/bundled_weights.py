"""The bundled checkpoints against the hashes that travel with them. Reads files only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selfe_eval.doctor.findings import MODELS, Finding
from selfe_eval.provenance import file_sha256
from selfe_eval.resources import checkpoints_dir

CONFIG_FILE = "config.json"
JUDGE = ("openmoji-clip", "openmoji-detector")
"""The folders that the detector openmoji judges with; the others are models to be measured."""


def bundled_findings(folder: Path | None = None) -> list[Finding]:
    """Check every bundled checkpoint.

    Args:
        folder: Holds a folder for each checkpoint; by default the bundled one.

    Returns:
        One finding for each folder there, and for each folder of the judge, there or not.

    Raises:
        UsageError: The installation has no folder of checkpoints.
    """
    folder = folder or checkpoints_dir()
    names = {path.name for path in folder.iterdir() if path.is_dir()} | set(JUDGE)
    return [_checked(folder / name) for name in sorted(names)]


def _checked(folder: Path) -> Finding:
    area = "openmoji" if folder.name in JUDGE else MODELS
    name = f"weights of {folder.name}"
    trouble, seen = _compared(folder)
    if not trouble:
        return Finding(area=area, name=name, status="ok", found=seen)
    return Finding(
        area=area,
        name=name,
        status="fail",
        found=trouble,
        advice="Reinstall selfe-eval, or restore the folder from the repository.",
    )


def _compared(folder: Path) -> tuple[str, str]:
    """(what is wrong, or empty; what was seen)."""
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return f"{folder / CONFIG_FILE} cannot be read: {error}", ""
    promised = config.get("files") if isinstance(config, Mapping) else None
    if not isinstance(promised, Mapping) or not promised:
        return f"{folder / CONFIG_FILE} names no files with their hashes", ""
    seen = []
    for file_name, sha256 in promised.items():
        found = _sha256(folder / str(file_name))
        if found != sha256:
            return f"{folder / str(file_name)} has SHA-256 {found}, and {CONFIG_FILE} says {sha256}", ""
        seen.append(f"SHA-256 {found[:8]} as in {CONFIG_FILE}")
    return "", ", ".join(seen)


def _sha256(path: Path) -> Any:
    try:
        return file_sha256(path)
    except OSError as error:
        return f"nothing ({error.strerror})"
