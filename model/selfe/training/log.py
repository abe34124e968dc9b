"""What a training tells of itself: ``metrics.jsonl``, and TensorBoard's event files beside it where they are asked for."""

from __future__ import annotations

import importlib
import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from selfe.training.errors import MissingTensorboardError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

METRICS_FILE = "metrics.jsonl"
TENSORBOARD_FOLDER = "tensorboard"


def require_tensorboard() -> None:
    """Refuse TensorBoard's files where the package that writes them is missing.

    Raises:
        MissingTensorboardError: the message says how to install it.
    """
    try:
        importlib.import_module("tensorboard")
    except ImportError as error:
        raise MissingTensorboardError(
            "TensorBoard's files were asked for, but the package that writes them is not installed. Install it with "
            "`pip install tensorboard`, or train without this option: metrics.jsonl holds the same numbers."
        ) from error


class TrainingLog:
    """The log of a training folder that goes on from a step; lines of later steps, which a kill left, are dropped."""

    def __init__(self, folder: Path, *, first_step: int, tensorboard: bool) -> None:
        self._path = folder / METRICS_FILE
        self._tensorboard = _summary_writer(folder, first_step) if tensorboard else None
        _keep_lines_until(self._path, first_step)

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Add a line for the steps since the last one."""
        with self._path.open("a") as file:
            file.write(json.dumps({"step": step, **metrics}, allow_nan=False) + "\n")
        if self._tensorboard is not None:
            for name, value in metrics.items():
                self._tensorboard.add_scalar(name, value, step)

    def close(self) -> None:
        """Write out what TensorBoard still holds."""
        if self._tensorboard is not None:
            self._tensorboard.close()


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """The lines of a training folder's log, in order."""
    return [json.loads(line) for line in (folder / METRICS_FILE).read_text().splitlines()]


def training_seconds(folder: Path) -> float:
    """Seconds spent in the steps that the folder's metrics tell of, over all resumed parts."""
    records = read_metrics(folder)
    steps = [0, *(int(record["step"]) for record in records)]
    rates = [float(record["seconds_per_step"]) for record in records]
    return sum((step - before) * rate for rate, (before, step) in zip(rates, pairwise(steps), strict=True))


def _keep_lines_until(path: Path, step: int) -> None:
    if not path.exists():
        return
    lines = path.read_text().splitlines(keepends=True)
    kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text("".join(kept))
    partial.replace(path)


def _summary_writer(folder: Path, first_step: int) -> SummaryWriter:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / TENSORBOARD_FOLDER), purge_step=first_step + 1)
