"""The training loop that every model of this package shares: step, log, save, resume exactly.

A trainable's step is a pure function of (its state, the step number): all randomness of a step comes from
``step_generator(seed, step)`` and the data source is indexed by the step, so "RNG state" and "data position" are the
step number itself, and a resumed run is bit for bit the uninterrupted one on the same machine.

Files in the training folder: ``state.pt`` (weights, optimiser, step; replaced atomically, loaded with
``weights_only=True``) and ``metrics.jsonl`` (one line every ``log_every`` steps; lines at or after a resumed step are dropped).
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import torch

STATE_FILE = "state.pt"
METRICS_FILE = "metrics.jsonl"


class Trainable(Protocol):
    """What the loop needs to know of a model in training."""

    def train_step(self, step: int) -> dict[str, torch.Tensor | float]:
        """Do optimiser step number ``step`` (from 0) and return what to log."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides the following steps: tensors, numbers, strings, lists and dicts only."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of ``state_dict``."""
        ...

    def settings(self, step: int) -> dict[str, Any]:
        """What a run resumed after ``step`` steps must have in common with the one that saved it; goes through JSON."""
        ...


class SettingsChangedError(ValueError):
    """A training folder was begun with other settings than those it is to go on with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopOptions:
    """How long to train and how often to write."""

    num_steps: int
    """Stop after this many optimiser steps in all."""
    log_every: int = 50
    """Steps between two lines of metrics.jsonl."""
    save_every: int = 500
    """Steps between two state files (and at the end)."""
    sample_every: int = 1000
    """Steps between two calls of on_sample (and at the end)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopEvent:
    """What a progress display gets to see after a step."""

    step: int
    """Steps done so far."""
    num_steps: int
    """Steps to do in all."""
    metrics: dict[str, float]
    """The latest logged metrics."""


def step_generator(seed: int, step: int, *, purpose: str = "step") -> torch.Generator:
    """A CPU generator that depends on (seed, step, purpose) only."""
    digest = hashlib.sha256(f"selfe/{purpose}/{seed}/{step}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def train(
    trainable: Trainable,
    folder: Path,
    options: LoopOptions,
    *,
    on_step: Callable[[LoopEvent], None] = lambda _: None,
    on_sample: Callable[[int], None] = lambda _: None,
) -> None:
    """Train from the folder's state (or from scratch) up to ``options.num_steps``.

    ``metrics.jsonl`` gets the mean of each metric over the last ``log_every`` steps, with the step and the seconds a step.

    Raises:
        SettingsChangedError: the folder's state was saved under other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    first = _resume(trainable, folder)
    window: list[dict[str, torch.Tensor | float]] = []
    latest: dict[str, float] = {}
    started = time.perf_counter()
    for step in range(first, options.num_steps):
        window.append(trainable.train_step(step))
        done = step + 1
        if done % options.log_every == 0 or done == options.num_steps:
            seconds = (time.perf_counter() - started) / len(window)
            latest = _mean(window) | {"seconds_per_step": seconds}
            _append_metrics(folder, {"step": done, **latest})
            window, started = [], time.perf_counter()
        if done % options.save_every == 0 or done == options.num_steps:
            settings = json.dumps(trainable.settings(done), sort_keys=True)
            state = {"step": done, "settings": settings, "trainable": trainable.state_dict()}
            save_state(folder, state)
        if done % options.sample_every == 0 or done == options.num_steps:
            on_sample(done)
        on_step(LoopEvent(step=done, num_steps=options.num_steps, metrics=latest))


def training_seconds(folder: Path) -> float:
    """Seconds spent in the steps that the folder's metrics tell of, over all resumed parts."""
    records = [json.loads(line) for line in (folder / METRICS_FILE).read_text().splitlines()]
    steps = [0, *(int(record["step"]) for record in records)]
    rates = [float(record["seconds_per_step"]) for record in records]
    return sum((step - before) * rate for rate, (before, step) in zip(rates, pairwise(steps), strict=True))


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Replace the folder's state file; a crash leaves the old one or the new one, never half of one."""
    partial = folder / f"{STATE_FILE}.partial"
    with partial.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / STATE_FILE)


def _resume(trainable: Trainable, folder: Path) -> int:
    path = folder / STATE_FILE
    if not path.exists():
        (folder / METRICS_FILE).unlink(missing_ok=True)
        return 0
    state = torch.load(path, map_location="cpu", weights_only=True)
    step = int(state["step"])
    _refuse_other_settings(json.loads(state["settings"]), trainable.settings(step), folder)
    trainable.load_state_dict(state["trainable"])
    _drop_metrics_after(folder, step)
    return step


def _refuse_other_settings(saved: dict[str, Any], wanted: dict[str, Any], folder: Path) -> None:
    wanted = json.loads(json.dumps(wanted))
    changed = sorted(name for name in saved | wanted if saved.get(name) != wanted.get(name))
    if changed:
        details = "; ".join(f"{name} was {saved.get(name)!r} and is {wanted.get(name)!r}" for name in changed)
        raise SettingsChangedError(
            f"The training in {folder} was begun with other settings: {details}. Going on would be neither the old "
            "training nor the new one. Restore the settings, or train in another folder."
        )


def _drop_metrics_after(folder: Path, step: int) -> None:
    path = folder / METRICS_FILE
    if not path.exists():
        return
    lines = path.read_text().splitlines(keepends=True)
    kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
    path.write_text("".join(kept))


def _append_metrics(folder: Path, record: dict[str, float]) -> None:
    with (folder / METRICS_FILE).open("a") as file:
        file.write(json.dumps(record, allow_nan=False) + "\n")


def _mean(window: list[dict[str, torch.Tensor | float]]) -> dict[str, float]:
    return {name: sum(float(metrics[name]) for metrics in window) / len(window) for name in window[0]}
