"""Reads a weight file of mmdet (or a safetensors file), once and safely: its hash, its tensors, its description.

Such a file is a pickle, and a pickle can run anything. PyTorch's restricted reader allows tensors and plain Python
values only; real files also describe their training with a few objects of numpy and mmengine. Those are read as
nothing at all, under their names, so that neither numpy nor mmengine takes part. Everything else is refused by name.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from selfe_eval.errors import UsageError
from selfe_eval.score.clip_file import reason_of

DISCARDED = (
    "_codecs.encode",
    "builtins.getattr",
    "mmengine.logging.history_buffer.HistoryBuffer",
    "numpy.dtype",
    "numpy.ndarray",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
)
"""Read as nothing: numbers and curves of the training, which nobody asks for here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFile:
    """What a weight file holds."""

    path: Path
    """Where it was read."""
    sha256: str
    """Of the whole file."""
    tensors: dict[str, Tensor]
    """Name to tensor, on the CPU, as stored."""
    meta: dict[str, Any]
    """What mmdet wrote about the training; empty if nothing."""


def read_weight_file(path: Path) -> WeightFile:
    """Read a ``.safetensors`` file, or a ``.pth`` file as mmdet 2.x, mmdet 3.x or ``torch.save`` write it.

    A name that ends in ``-<8 hex digits>.pth`` holds the beginning of the file's SHA-256 (OpenMMLab's convention).

    Raises:
        UsageError: The file is missing, incomplete, unreadable, holds no weights, or would run code.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"The weight file {path} cannot be read: {error.strerror}. Check the path."
        ) from error
    sha256 = hashlib.sha256(content).hexdigest()
    named = re.search(r"-([0-9a-f]{8})\.pth$", path.name)
    if named and not sha256.startswith(named[1]):
        raise UsageError(
            f"{path} is corrupt or incomplete: its name says that its SHA-256 begins with {named[1]}, and it is "
            f"{sha256} ({len(content)} bytes). Download it again."
        )
    document = _safetensors(path, content) if path.suffix == ".safetensors" else _pickle(path, content)
    tensors = document.get("state_dict", document)
    if not tensors or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise UsageError(
            f"{path} should hold named tensors, alone or under 'state_dict', and holds the entries "
            f"{sorted(map(str, document))[:5]}. Give the weight file of this network."
        )
    meta = document["meta"] if "state_dict" in document and isinstance(document.get("meta"), dict) else {}
    return WeightFile(path=path, sha256=sha256, tensors=dict(tensors), meta=meta)


def fill(network: nn.Module, tensors: Mapping[str, Tensor], *, complaint: str) -> None:
    """Copy tensors into a network that has exactly these, by name and shape.

    Args:
        network: Filled in place, or left as it is.
        tensors: A full state dict.
        complaint: How the error begins: which weights do not fit which network.

    Raises:
        UsageError: A tensor is missing, left over or of another shape; a few are named, never all.
    """
    expected = network.state_dict()
    missing = [name for name in expected if name not in tensors]
    left_over = [name for name in tensors if name not in expected]
    misshapen = [
        f"{name} is {tuple(tensors[name].shape)}, should be {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    if missing or left_over or misshapen:
        raise UsageError(
            f"{complaint}. Of {len(expected)} tensors, missing: {_few(missing)}; of another shape: "
            f"{_few(misshapen)}; not expected: {_few(left_over)}. Give the weights that belong to this network."
        )
    network.load_state_dict(tensors, strict=True)


class _Nothing:
    """Takes the place of an object of the training's description."""

    def __init__(self, *_arguments: Any) -> None:
        pass

    def __setstate__(self, _state: object) -> None:
        pass


def _few(names: list[str]) -> str:
    shown = ", ".join(names[:2]) + (", ..." if len(names) > 2 else "")
    return f"{len(names)} ({shown})" if names else "0"


def _safetensors(path: Path, content: bytes) -> dict[str, Any]:
    try:
        return dict(load_safetensors(content))
    except SafetensorError as error:
        raise UsageError(f"{path} is not a safetensors file ({error}). Download it again.") from error


def _pickle(path: Path, content: bytes) -> dict[str, Any]:
    try:
        with torch.serialization.safe_globals([(_Nothing, name) for name in DISCARDED]):
            document = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything
        refused = re.search(r"GLOBAL (\S+) was not an allowed global", str(error))
        if refused is None:
            raise UsageError(
                f"{path} is not a weight file of PyTorch, or it is damaged ({reason_of(error)}). Download it again."
            ) from error
        raise UsageError(
            f"{path} should hold tensors and plain values, and would run {refused[1]} when it is read, so it was not. "
            "Save its state_dict alone with torch.save, or as safetensors, in a place where you trust it."
        ) from error
    if not isinstance(document, dict):
        raise UsageError(f"{path} should hold named tensors and holds a {type(document).__name__}.")
    return document
