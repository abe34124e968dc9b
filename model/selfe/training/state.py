"""The state of a training on disk: a folder ``state-000500`` of safetensors shards and a ``state.json``.

Written and read with ``torch.distributed.checkpoint``: every process writes what it holds and reads what it needs, so a
training may go on with another number of processes, or with FSDP in the place of DDP. Of its storage formats this is the
one for Hugging Face's safetensors, not the default one, which reads a pickle (``.metadata``) without restriction.
Everything in a state is a tensor with a name; what is not (learning rates and the like) follows from the recipe.

A state is written as ``state-000500.partial`` and renamed when it is whole; only then older ones go. So a kill at any
moment leaves a whole state. All processes must see the same folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.optim import Optimizer

from selfe.training import parallel
from selfe.training.errors import SettingsChangedError, TrainingStateError

DOCUMENT = "state.json"
PARTIAL = ".partial"
"""Ends the name of a state that is not whole yet, or no longer."""
_NAME = re.compile(r"state-(\d{6,})")


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedState:
    """A whole state on disk."""

    folder: Path
    """Holds its files."""
    step: int
    """Optimiser steps done."""
    settings: Mapping[str, Any]
    """What the training was told that decides its numbers."""


def network_tensors(prefix: str, network: nn.Module) -> dict[str, Tensor]:
    """The parameters and buffers of a network as ``prefix.name``; writing into them changes the network."""
    tensors = cast("dict[str, Tensor]", get_model_state_dict(network))
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def optimiser_tensors(network: nn.Module, optimiser: Optimizer) -> dict[str, Tensor]:
    """What an optimiser remembers of a network's parameters, as ``optimiser.parameter.name``; made if it is new."""
    of_parameters = cast("dict[str, Any]", get_optimizer_state_dict(network, optimiser)["state"])
    return {
        f"optimiser.{parameter}.{name}": tensor
        for parameter, entries in of_parameters.items()
        for name, tensor in entries.items()
    }


def restore_optimiser(network: nn.Module, optimiser: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser the tensors of ``optimiser_tensors``; its learning rates and other options stay."""
    document = get_optimizer_state_dict(network, optimiser)
    of_parameters = cast("dict[str, Any]", document["state"])
    for parameter, entries in of_parameters.items():
        for name in entries:
            entries[name] = tensors[f"optimiser.{parameter}.{name}"]
    set_optimizer_state_dict(network, optimiser, document)


def newest_state(folder: Path) -> SavedState | None:
    """The newest whole state in a training folder.

    Raises:
        TrainingStateError: its ``state.json`` cannot be read.
    """
    steps = {int(match[1]): path for path in folder.glob("state-*") if (match := _NAME.fullmatch(path.name))}
    if not steps:
        return None
    step = max(steps)
    try:
        document = json.loads((steps[step] / DOCUMENT).read_text())
        settings = document["settings"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(steps[step], error) from error
    return SavedState(folder=steps[step], step=step, settings=settings)


def save_state(folder: Path, step: int, tensors: dict[str, Tensor], settings: Mapping[str, Any]) -> None:
    """Write the state after ``step`` steps, then drop older ones; every process calls this with the tensors it holds.

    Raises:
        TrainingStateError: it cannot be written.
    """
    final = folder / f"state-{step:06d}"
    partial = final.with_name(final.name + PARTIAL)
    dense = {name: tensor.contiguous() for name, tensor in tensors.items()}  # kernels may lie channels last
    try:
        if parallel.is_first():
            drop_partial_states(folder)
            partial.mkdir(parents=True)
        parallel.meet()
        with _alone_in_silence():
            save(dense, storage_writer=HuggingFaceStorageWriter(str(partial), save_distributed=True))
        if parallel.is_first():
            document = {"step": step, "settings": settings}
            _write_synced(partial / DOCUMENT, json.dumps(document, indent=1, allow_nan=False) + "\n")
            _sync(partial)
            partial.rename(final)
            _sync(folder)
    except (CheckpointException, OSError) as error:
        cause = _cause(error) if isinstance(error, CheckpointException) else error
        raise TrainingStateError(
            f"The training state {final} could not be written: {cause}. The state before it is kept. Make room, or "
            "mend the disk, and start the same command again."
        ) from error
    if parallel.is_first():
        _drop_others(folder, final)
    parallel.meet()


def load_state(state: SavedState, tensors: dict[str, Tensor]) -> None:
    """Read a state into the given tensors, in place; every process calls this with the tensors it holds.

    Raises:
        TrainingStateError: a file is damaged, or a tensor is missing or has another shape.
    """
    try:
        with _alone_in_silence():
            load(tensors, storage_reader=HuggingFaceStorageReader(str(state.folder)))
    except CheckpointException as error:
        raise _damaged(state.folder, _cause(error)) from error


def refuse_other_settings(state: SavedState, wanted: Mapping[str, Any]) -> None:
    """Refuse to go on from a state that was saved under other settings.

    Raises:
        SettingsChangedError: the message names each setting with both values.
    """
    saved, now = dict(state.settings), json.loads(json.dumps(wanted))
    changed = sorted(name for name in saved | now if saved.get(name) != now.get(name))
    if changed:
        details = "; ".join(f"{name} was {saved.get(name)!r} and is {now.get(name)!r}" for name in changed)
        raise SettingsChangedError(
            f"The training in {state.folder.parent} was begun with other settings: {details}. Going on would be neither "
            "the old training nor the new one. Restore the settings, or train in another folder."
        )


def copy_state(state: SavedState, folder: Path) -> None:
    """Let the training in ``folder`` begin where another one stands."""
    partial = folder / f"{state.folder.name}{PARTIAL}"
    folder.mkdir(parents=True, exist_ok=True)
    drop_partial_states(folder)
    shutil.copytree(state.folder, partial)
    partial.rename(folder / state.folder.name)


def drop_partial_states(folder: Path) -> None:
    """Delete what a kill left half written or half deleted."""
    for path in folder.glob(f"state-*{PARTIAL}"):
        shutil.rmtree(path)


def _drop_others(folder: Path, kept: Path) -> None:
    for path in folder.glob("state-*"):
        if _NAME.fullmatch(path.name) and path != kept:
            path.rename(path.with_name(path.name + PARTIAL))
    drop_partial_states(folder)


def _cause(error: CheckpointException) -> BaseException:
    """What went wrong in the first process that had something go wrong."""
    return next(iter(error.failures.values()))[0]


def _damaged(folder: Path, error: BaseException) -> TrainingStateError:
    return TrainingStateError(
        f"The training state {folder} cannot be read into this network: {error}. If its files are damaged, copy them "
        "again, or delete that folder to train from the beginning."
    )


def _write_synced(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _alone_in_silence() -> Iterator[None]:
    """One process that saves its own state is what is meant here, and no reason for a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield
