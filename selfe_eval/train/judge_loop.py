"""The training loop of the judge's two networks: AdamW, cosine schedule, exact resume.

The data of step n depends on the seed and n alone, so the position in the data is the step number and a
resumed run is the uninterrupted one. What is not here: what to learn (see judge_detector.py, judge_clip.py).
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

STATE_FILE = "training.pt"
METRICS_FILE = "metrics.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopOptions:
    """How long and how fast to learn."""

    num_steps: int
    """Optimiser steps."""
    batch_size: int
    """Images in a step."""
    learning_rate: float
    """Highest rate, reached after the warm-up; falls to zero along a cosine."""
    weight_decay: float = 0.01
    """Of AdamW."""
    warmup_steps: int = 200
    """Linear warm-up."""
    clip_norm: float = 5.0
    """Largest gradient norm."""
    log_every: int = 50
    """Steps between lines of metrics.jsonl."""
    save_every: int = 500
    """Steps between saved states."""


Losses = dict[str, Tensor]
"""Named scalars; "loss" is the one to minimise."""
Progress = Callable[[int, int, dict[str, float]], None]
"""Called with (step, num_steps, metrics) after each line of metrics."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a finished loop hands back."""

    weights: dict[str, Tensor]
    """Final weights; the rate has fallen to zero, so nothing is left to average."""
    seconds: float
    """Training time, over all resumed parts."""
    metrics: dict[str, float]
    """The last line of metrics.jsonl."""


def train_loop(
    network: nn.Module,
    losses_at: Callable[[int], Losses],
    options: LoopOptions,
    out_dir: Path,
    *,
    resume: bool = True,
    progress: Progress | None = None,
) -> Trained:
    """Train a network.

    Args:
        network: Trained in place.
        losses_at: Makes the batch of a step and returns its losses.
        options: How long and how fast.
        out_dir: Gets ``training.pt`` and ``metrics.jsonl``.
        resume: Go on from ``training.pt`` if it is there.
        progress: Called after each line of metrics.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    loop = _Loop(network, options, out_dir)
    if resume:
        loop.load()
    network.train()
    while loop.step < options.num_steps:
        metrics = loop.advance(losses_at)
        if metrics is not None and progress is not None:
            progress(loop.step, options.num_steps, metrics)
    loop.save()
    return Trained(weights=network.state_dict(), seconds=loop.seconds, metrics=loop.last_metrics)


class _Loop:
    """The state that is saved: weights, optimiser, step, seconds."""

    def __init__(self, network: nn.Module, options: LoopOptions, out_dir: Path) -> None:
        self.network = network
        self.options = options
        self.out_dir = out_dir
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(network, options.weight_decay), lr=options.learning_rate, betas=(0.9, 0.98)
        )
        self.step = 0
        self.seconds = 0.0
        self.last_metrics: dict[str, float] = {}

    def advance(self, losses_at: Callable[[int], Losses]) -> dict[str, float] | None:
        """One step; returns metrics where a line was written."""
        started = time.perf_counter()
        rate = self.options.learning_rate * schedule(self.step, self.options)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        losses = losses_at(self.step)
        self.optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.options.clip_norm)
        self.optimizer.step()
        self.step += 1
        self.seconds += time.perf_counter() - started
        due = self.step % self.options.log_every == 0 or self.step == self.options.num_steps
        if due:
            values = {name: float(value.detach()) for name, value in losses.items()}
            self._log({**values, "grad_norm": float(norm), "learning_rate": rate})
        if self.step % self.options.save_every == 0:
            self.save()
        return self.last_metrics if due else None

    def save(self) -> None:
        """Write the state so that it is whole or not there."""
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "metrics": self.last_metrics,
        }
        temporary = self.out_dir / f"{STATE_FILE}.tmp"
        torch.save(state, temporary)
        os.replace(temporary, self.out_dir / STATE_FILE)  # noqa: PTH105 (os.replace is the atomic one by name)

    def load(self) -> None:
        """Take up a saved state, if there is one."""
        path = self.out_dir / STATE_FILE
        if not path.is_file():
            return
        state: dict[str, Any] = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = int(state["step"]), float(state["seconds"])
        self.last_metrics = state["metrics"]

    def _log(self, values: dict[str, float]) -> None:
        self.last_metrics = values
        line = {"step": self.step, "seconds": round(self.seconds, 1), **values}
        with (self.out_dir / METRICS_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def schedule(step: int, options: LoopOptions) -> float:
    """Learning rate at a step, as a fraction of the highest: linear warm-up, then half a cosine.

    >>> schedule(100, LoopOptions(num_steps=100, batch_size=1, learning_rate=1.0, warmup_steps=10))
    0.0
    """
    if step < options.warmup_steps:
        return (step + 1) / options.warmup_steps
    done = (step - options.warmup_steps) / max(1, options.num_steps - options.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Decay matrices and kernels, leave biases, norms and scalars alone."""
    decayed = [parameter for parameter in network.parameters() if parameter.ndim >= 2]
    free = [parameter for parameter in network.parameters() if parameter.ndim < 2]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
