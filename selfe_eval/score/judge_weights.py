"""Checkpoint folders of the bundled judge: ``config.json`` beside a safetensors file, tied by its SHA-256.

A judge whose weights are missing, changed or of another network refuses to run: a random judge would still
print a score.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from selfe_eval.errors import UsageError

CONFIG_FILE = "config.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeWeights:
    """A checked checkpoint, read into memory."""

    folder: Path
    """Where it came from."""
    config: dict[str, Any]
    """The whole ``config.json``."""
    sha256: str
    """Of the weight file."""
    tensors: dict[str, Tensor]
    """Name to tensor, as stored."""

    def load_into(self, network: nn.Module) -> None:
        """Fill a network; every name and shape must agree.

        Raises:
            UsageError: The weights belong to another network.
        """
        try:
            network.load_state_dict(self.tensors, strict=True)
        except RuntimeError as error:
            raise UsageError(
                f"The weights in {self.folder} do not fit the network that {CONFIG_FILE} describes: "
                f"{error} Install the same release of selfe-eval that wrote them, or train them again."
            ) from error


def read_weights(folder: Path, *, expected_format: str, file_name: str = "model.safetensors") -> JudgeWeights:
    """Read and check a checkpoint folder.

    Args:
        folder: Holds ``config.json`` and the weight file.
        expected_format: What ``config.json`` must say under "format".
        file_name: The weight file.

    Raises:
        UsageError: Something is missing, of another format, or not what its hash says.
    """
    config = _read_config(folder)
    if config.get("format") != expected_format:
        raise UsageError(
            f"{folder / CONFIG_FILE} should say format {expected_format!r} and says "
            f"{config.get('format')!r}: this folder holds something else."
        )
    path = folder / file_name
    if not path.is_file():
        raise UsageError(f"The weights {path} are missing. {_REMEDY}")
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    expected = config.get("files", {}).get(file_name)
    if sha256 != expected:
        raise UsageError(f"{path} has SHA-256 {sha256}, but {CONFIG_FILE} says {expected}. {_REMEDY}")
    try:
        tensors = load(content)
    except SafetensorError as error:
        raise UsageError(f"{path} is not a safetensors file ({error}). {_REMEDY}") from error
    return JudgeWeights(folder=folder, config=config, sha256=sha256, tensors=tensors)


def write_weights(
    folder: Path,
    tensors: Mapping[str, Tensor],
    config: Mapping[str, Any],
    *,
    file_name: str = "model.safetensors",
) -> str:
    """Write a checkpoint folder; matrices and kernels in 16 bits, vectors and statistics as they are.

    Args:
        folder: Made if missing.
        tensors: What to store.
        config: Everything of ``config.json`` but "files".
        file_name: The weight file.

    Returns:
        The SHA-256 of the weight file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = save({name: _compact(tensor) for name, tensor in tensors.items()})
    sha256 = hashlib.sha256(content).hexdigest()
    (folder / file_name).write_bytes(content)
    document = {**config, "files": {file_name: sha256}}
    (folder / CONFIG_FILE).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return sha256


_REMEDY = "Reinstall selfe-eval, or train the judge again with `selfe-eval train`."


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG_FILE
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"{path} is missing: {folder} is not a checkpoint folder. {_REMEDY}") from error
    except ValueError as error:
        raise UsageError(f"{path} is not JSON ({error}). {_REMEDY}") from error
    if not isinstance(config, dict):
        raise UsageError(f"{path} should hold a JSON object and holds a {type(config).__name__}. {_REMEDY}")
    return config


def _compact(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if tensor.is_floating_point() and tensor.ndim >= 2 else tensor
