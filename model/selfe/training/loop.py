"""The training loop that every model of this package shares: step, log, save, resume exactly, stop when told to.

A trainable's step is a pure function of (its state, the step number): all randomness of a step comes from
``step_generator(seed, step)`` and the data source is indexed by the step, so "RNG state" and "data position" are the
step number itself, and a resumed run is bit for bit the uninterrupted one on the same machine with as many processes.

Files in the training folder: the newest state (``state.py``), ``metrics.jsonl`` (``log.py``),
``training.lock``, and ``nan-step-000123.safetensors`` where a step had to be refused. The first process writes them.
"""

from __future__ import annotations

import contextlib
import hashlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from filelock import FileLock, Timeout
from safetensors.torch import save_file

from selfe.training import parallel
from selfe.training.errors import FolderInUseError, NotFiniteError
from selfe.training.log import TrainingLog, require_tensorboard
from selfe.training.state import (
    drop_partial_states,
    load_state,
    newest_state,
    refuse_other_settings,
    save_state,
)

LOCK_FILE = "training.lock"

Metrics = Mapping[str, torch.Tensor | float]
"""What a step has to tell, by name. "images" counts those of all processes; the rest are means over what this one saw."""


class Trainable(Protocol):
    """What the loop needs to know of a model in training."""

    def train_step(self, step: int) -> Metrics:
        """Do optimiser step number ``step`` (from 0) and return what to log.

        Raises:
            NotFiniteError: loss or gradient is not finite; the weights are as they were.
        """
        ...

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Everything that decides the following steps; shards where the model is sharded."""
        ...

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        """Take up the tensors of ``state_dict`` after values were written into them."""
        ...

    def settings(self, step: int) -> dict[str, Any]:
        """What a run resumed after ``step`` steps must have in common with the one that saved it; goes through JSON."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopOptions:
    """How long to train and how often to write."""

    num_steps: int
    """Stop after this many optimiser steps in all."""
    log_every: int = 50
    """Steps between two lines of metrics.jsonl."""
    save_every: int = 500
    """Steps between two states (and at the end)."""
    sample_every: int = 1000
    """Steps between two calls of on_sample (and at the end)."""
    tensorboard: bool = False
    """Whether to write TensorBoard's files too; needs the package ``tensorboard``."""


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

    ``metrics.jsonl`` gets the mean of each metric over the last ``log_every`` steps and all processes, with the step, the
    seconds a step and the images a second. Both callbacks are called in every process.

    A SIGTERM to any of the processes ends all of them after the step they are at, with the state saved and exit code 0;
    Ctrl-C does the same and raises KeyboardInterrupt, and a second one does not wait for the step.
    ``torchrun`` passes one on that it gets itself, waits ``--shutdown-timeout`` seconds (30), and then ends with code 1.

    Raises:
        SettingsChangedError: the folder's state was saved under other settings.
        TrainingStateError: the folder's state cannot be read, or one cannot be written.
        FolderInUseError: another training runs in this folder.
        MissingTensorboardError: TensorBoard's files are wanted and cannot be written.
        NotFiniteError: a step was refused; its batch and the state that was saved last are kept.
        SystemExit: with code 0, after SIGTERM.
        KeyboardInterrupt: after Ctrl-C.
    """
    if options.tensorboard:
        require_tensorboard()
    folder.mkdir(parents=True, exist_ok=True)
    with _held(folder), _stop_noticed() as came:
        first = _resume(trainable, folder)
        with _log(folder, first, options) as write_line:
            window = _Window()
            latest: dict[str, float] = {}
            for step in range(first, options.num_steps):
                window.add(trainable, step, folder)
                done = step + 1
                finished, stopping = done == options.num_steps, parallel.any_rank(flag=bool(came))
                if done % options.log_every == 0 or finished or stopping:
                    latest, window = window.means(), _Window()
                    write_line(done, latest)
                if done % options.sample_every == 0 or finished:
                    # Before the state: a kill in between repeats a sample and never loses one.
                    on_sample(done)
                if done % options.save_every == 0 or finished or stopping:
                    save_state(folder, done, trainable.state_dict(), trainable.settings(done))
                on_step(LoopEvent(step=done, num_steps=options.num_steps, metrics=latest))
                if stopping and not finished:
                    _leave(folder, done, options.num_steps, interrupted=signal.SIGINT in came)


class _Window:
    """The steps since the last line of the log."""

    def __init__(self) -> None:
        self._metrics: list[Metrics] = []
        self._seconds = 0.0

    def add(self, trainable: Trainable, step: int, folder: Path) -> None:
        """Do a step; what happens between steps (samples, states) counts as no training time."""
        started = time.perf_counter()
        self._metrics.append(_step(trainable, step, folder))
        self._seconds += time.perf_counter() - started

    def means(self) -> dict[str, float]:
        """Of the metrics that all its steps have, over steps and processes; waits for the device."""
        names = set.intersection(*(set(metrics) for metrics in self._metrics))
        count = len(self._metrics)
        own = {name: sum(float(metrics[name]) for metrics in self._metrics) / count for name in names}
        means = parallel.mean_over_ranks(own)
        seconds = self._seconds / count
        return means | {"seconds_per_step": seconds, "images_per_second": means.pop("images") / seconds}


def _resume(trainable: Trainable, folder: Path) -> int:
    if parallel.is_first():
        drop_partial_states(folder)
    parallel.meet()
    state = newest_state(folder)
    if state is None:
        return 0
    refuse_other_settings(state, trainable.settings(state.step))
    tensors = trainable.state_dict()
    load_state(state, tensors)
    trainable.load_state_dict(tensors)
    return state.step


def _step(trainable: Trainable, step: int, folder: Path) -> Metrics:
    try:
        return trainable.train_step(step)
    except NotFiniteError as error:
        path = folder / f"nan-step-{step:06d}.safetensors"
        if parallel.is_first():
            save_file({name: tensor.cpu().contiguous().clone() for name, tensor in error.batch.items()}, path)
        raise NotFiniteError(
            f"{error} Its batch is kept for inspection in {path}; the state that was saved last is whole. Going on from it "
            "comes to the same step again: lower the learning rate or mend the data, and train in another folder.",
            error.batch,
        ) from error


def _leave(folder: Path, done: int, num_steps: int, *, interrupted: bool) -> None:
    if interrupted:
        raise KeyboardInterrupt
    if parallel.is_first():
        sys.stderr.write(
            f"Told to stop (SIGTERM) after step {done} of {num_steps}; the state is saved in {folder}. "
            "Start the same command again to go on.\n"
        )
    raise SystemExit(0)


@contextlib.contextmanager
def _log(folder: Path, first: int, options: LoopOptions) -> Iterator[Callable[[int, dict[str, float]], None]]:
    if not parallel.is_first():
        yield lambda _step, _metrics: None
        return
    log = TrainingLog(folder, first_step=first, tensorboard=options.tensorboard)
    try:
        yield log.write
    finally:
        log.close()


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Keep other trainings out of the folder."""
    lock = FileLock(folder / LOCK_FILE)
    taken = False
    if parallel.is_first():
        try:
            lock.acquire(blocking=False)
        except Timeout:
            taken = True
    if parallel.any_rank(flag=taken):
        raise FolderInUseError(
            f"Another training runs in {folder}: it holds {LOCK_FILE}. Wait for it, stop it, or train in another folder."
        )
    try:
        yield
    finally:
        if parallel.is_first():
            lock.release()


@contextlib.contextmanager
def _stop_noticed() -> Iterator[list[int]]:
    """The signals to stop (SIGTERM, SIGINT) that have come since; a second one acts as ever, at once.

    Outside the main thread, where Python handles no signals, none is noticed.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def notice(number: int, _frame: object) -> None:
        came.append(number)
        signal.signal(number, before[number] or signal.SIG_DFL)

    for number in before:
        signal.signal(number, notice)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
