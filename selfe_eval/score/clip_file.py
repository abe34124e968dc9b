"""The tensors of a CLIP weight file, read without running anything that the file may contain.

Taken: safetensors, and what ``torch.load(weights_only=True)`` reads. OpenAI published its files as TorchScript
archives, which are programs: torch and open_clip refuse them in the safe mode. These files are known by their hashes
and are taken; any other archive of their kind is refused.
"""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from selfe_eval.errors import UsageError
from selfe_eval.provenance import file_sha256
from selfe_eval.score.published_clip import OPENAI_FILES

_NOT_WEIGHTS = frozenset({"input_resolution", "context_length", "vocab_size"})
"""Numbers that OpenAI's archive keeps among its tensors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipFile:
    """A weight file, read into memory."""

    path: Path
    """Where it came from."""
    sha256: str
    """Of the file."""
    tensors: Mapping[str, Tensor]
    """open_clip's names to tensors, as stored."""

    def load_into(self, network: nn.Module, name: str) -> None:
        """Fill a network, converting to its precision; every name and shape must agree.

        Args:
            network: Gets the weights.
            name: What to call it in the error.

        Raises:
            UsageError: The file holds another network, or half of one.
        """
        wanted = {key: tensor.shape for key, tensor in network.state_dict().items()}
        found = {key: tensor.shape for key, tensor in self.tensors.items()}
        wrong = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
        if wrong:
            raise UsageError(
                f"{self.path} does not hold the weights of {name}: {len(wrong)} of {len(wanted)} tensors are "
                f"missing, unknown or of another shape, {wrong[0]!r} first. Expected open_clip's own names, "
                "as in its hub repositories and in OpenAI's files."
            )
        network.load_state_dict(dict(self.tensors))


def read_clip_file(path: Path, *, trusted: frozenset[str] = frozenset(OPENAI_FILES)) -> ClipFile:
    """Read a weight file.

    Args:
        path: ``.safetensors``, a torch file of tensors, or a TorchScript archive.
        trusted: SHA-256 of the archives that may be opened.

    Raises:
        UsageError: There is no such file, it is not readable safely, or it holds no tensors.
    """
    if not path.is_file():
        raise UsageError(f"Expected a weight file of a CLIP model at {path}: there is none.")
    sha256 = file_sha256(path)
    try:
        content = _read(path, sha256 in trusted)
    except UsageError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise UsageError(
            f"{path} cannot be read as weights of a CLIP model ({reason_of(error)}). Expected a "
            "safetensors file, or a torch file that holds nothing but tensors; other pickles can run code and "
            "are never opened. The file may be damaged: get it again, or save its tensors as safetensors."
        ) from error
    return ClipFile(path=path, sha256=sha256, tensors=_tensors(content, path))


def reason_of(error: Exception) -> str:
    """The first line of what a reader says, without torch's advice to read the file unsafely."""
    if isinstance(error, pickle.UnpicklingError):
        return "torch's safe reader refuses it"
    return str(error).partition("\n")[0]


def _read(path: Path, is_trusted: bool) -> Any:  # noqa: FBT001 - one answer, asked once
    if path.suffix == ".safetensors":
        return load_file(path)
    if not _is_torchscript(path):
        return torch.load(path, map_location="cpu", weights_only=True)
    if not is_trusted:
        known = ", ".join(f"{file.name} ({file.url})" for file in OPENAI_FILES.values())
        raise UsageError(
            f"{path} is a TorchScript archive, which is a program and not only weights. The only ones that are "
            f"opened are OpenAI's own, whose addresses hold their SHA-256: {known}. This file is another one, or a "
            "damaged download. Get that file, or save your weights as safetensors."
        )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.load.* is deprecated", category=FutureWarning)
        return torch.jit.load(path, map_location="cpu").state_dict()


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint, also where open_clip's training wrapped them twice."""
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping):
        raise UsageError(f"{path} should hold tensors by name and holds a {type(content).__name__}.")
    named = {str(key).removeprefix("module."): value for key, value in content.items()}
    return {
        key: value for key, value in named.items() if isinstance(value, Tensor) and key not in _NOT_WEIGHTS
    }
