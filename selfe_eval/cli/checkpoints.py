"""The verb ``checkpoints``: the bundled text-to-image models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from selfe_eval.cli import options

if TYPE_CHECKING:
    from selfe_eval.generate.checkpoints import CheckpointFolder


def checkpoints(*, as_json: options.AsJson = False) -> None:
    """List the bundled checkpoints.

    \b
    Example:
      selfe-eval checkpoints
    """  # noqa: D301 - Typer needs the control character, not its spelling
    from selfe_eval.generate.checkpoints import WEIGHTS_FILE, bundled_checkpoints

    found = bundled_checkpoints()
    if as_json:
        entries = [_document(name, checkpoint) for name, checkpoint in found.items()]
        typer.echo(json.dumps({"schema_version": 1, "checkpoints": entries}))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("checkpoint", "suite", "objective", "images seen", "MB", "sha256"):
        table.add_column(heading)
    for name, checkpoint in found.items():
        training = checkpoint.config.get("training", {})
        table.add_row(
            name,
            checkpoint.suite or "",
            str(training.get("objective", "")),
            str(training.get("images_seen", "")),
            _megabytes(checkpoint.folder / WEIGHTS_FILE),
            checkpoint.sha256[WEIGHTS_FILE][:8],
        )
    Console().print(table)


def _document(name: str, checkpoint: CheckpointFolder) -> dict[str, object]:
    return {
        "name": name,
        "suite": checkpoint.suite,
        "folder": str(checkpoint.folder),
        "sha256": checkpoint.sha256,
        "training": checkpoint.config.get("training", {}),
    }


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f}" if path.is_file() else "missing"
