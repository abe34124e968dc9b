"""Find a checkpoint by its bundled name or its path, and check its hashes, without importing torch.

A checkpoint is a folder with ``config.json`` (format ``selfe-checkpoint/1``, name, suite, SHA-256 of each
weight file) and ``model.safetensors``. Nothing else is ever loaded: no pickles, no code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfe_eval.errors import UsageError, unknown_name
from selfe_eval.provenance import bytes_sha256, file_sha256
from selfe_eval.resources import checkpoints_dir

FORMAT = "selfe-checkpoint/1"
"""What ``config.json`` of a generator says under ``format``; the judge's weights say something else."""

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFolder:
    """A checkpoint on disk whose configuration has been read; its weights are not loaded."""

    folder: Path
    """Holds ``config.json`` and the weights."""
    config: Mapping[str, Any]
    """The parsed ``config.json``."""
    config_sha256: str
    """Of ``config.json``: it decides the sampler's defaults, hence the images."""
    reference: str
    """How to find it again: its bundled name, or its absolute path."""

    @property
    def name(self) -> str:
        """As the leaderboard shows it."""
        return str(self.config["name"])

    @property
    def suite(self) -> str | None:
        """The suite whose prompts it was made for, if it says so."""
        suite = self.config.get("suite")
        return None if suite is None else str(suite)

    @property
    def sha256(self) -> dict[str, str]:
        """File name -> SHA-256, as ``config.json`` states them and `verify_checkpoint` checks them."""
        return {CONFIG_FILE: self.config_sha256, **self.config["files"]}


def bundled_checkpoints() -> dict[str, CheckpointFolder]:
    """The generators that travel with the package, by name."""
    found = {}
    for path in sorted(checkpoints_dir().glob(f"*/{CONFIG_FILE}")):
        config, sha256 = _read_json(path)
        if config.get("format") == FORMAT:
            name = path.parent.name
            found[name] = _checked(path, config, sha256, reference=name)
    return found


def find_checkpoint(name_or_path: str) -> CheckpointFolder:
    """The checkpoint of this bundled name, folder or ``.safetensors`` file.

    Raises:
        UsageError: there is none, or its ``config.json`` is missing, broken or of another format.
    """
    bundled = bundled_checkpoints()
    if name_or_path in bundled:
        return bundled[name_or_path]
    path = Path(name_or_path).expanduser()
    looks_like_path = len(path.parts) > 1 or path.suffix == ".safetensors" or path.exists()
    if not looks_like_path:
        raise unknown_name("checkpoint", name_or_path, bundled)
    return _from_path(path)


def verify_checkpoint(checkpoint: CheckpointFolder) -> None:
    """Compare every weight file with the hash in ``config.json``, before any computation.

    Raises:
        UsageError: a file is missing, cannot be read, or is not the one the configuration names.
    """
    for name, expected in checkpoint.config["files"].items():
        path = checkpoint.folder / name
        try:
            found = file_sha256(path)
        except OSError as error:
            raise UsageError(
                f"The weights {path} cannot be read: {error.strerror}. Expected a file with SHA-256 "
                f"{expected}. Copy the whole checkpoint folder again."
            ) from error
        if found != expected:
            raise UsageError(
                f"{path} is damaged, cut short or was replaced: expected SHA-256 {expected} (from "
                f"{CONFIG_FILE} beside it), found {found} ({path.stat().st_size} bytes). Nothing was "
                "computed. Copy the checkpoint again, or restore the file that belongs to this configuration."
            )


def _from_path(path: Path) -> CheckpointFolder:
    folder = path.parent if path.suffix == ".safetensors" else path
    if not path.exists():
        raise UsageError(
            f"No checkpoint at {path}: expected a folder with {CONFIG_FILE} and {WEIGHTS_FILE}, or that "
            f".safetensors file. Bundled names: {', '.join(bundled_checkpoints()) or 'none'} "
            "(see `selfe-eval checkpoints`)."
        )
    if not (folder / CONFIG_FILE).is_file():
        raise UsageError(
            f"{path} is no checkpoint: expected {CONFIG_FILE} in {folder}, found none. Weights alone do not "
            "say which network they belong to; a checkpoint written by `selfe-eval train` has both files."
        )
    config, sha256 = _read_json(folder / CONFIG_FILE)
    checkpoint = _checked(folder / CONFIG_FILE, config, sha256, reference=str(folder.resolve()))
    if path.suffix == ".safetensors" and path.name != WEIGHTS_FILE:
        raise UsageError(
            f"{path} would not be loaded: the weights of a checkpoint are the file {WEIGHTS_FILE} beside its "
            f"{CONFIG_FILE}. Give the folder, or that file; other weights need a folder of their own."
        )
    return checkpoint


def _read_json(path: Path) -> tuple[dict[str, Any], str]:
    try:
        content = path.read_bytes()
        config = json.loads(content)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read: expected a JSON object, but {error}. Copy the checkpoint again."
        ) from error
    if not isinstance(config, dict):
        raise UsageError(
            f"{path} should hold a JSON object, found a {type(config).__name__}. Copy the checkpoint again."
        )
    return config, bytes_sha256(content)


def _checked(path: Path, config: dict[str, Any], sha256: str, *, reference: str) -> CheckpointFolder:
    if config.get("format") != FORMAT:
        raise UsageError(
            f"{path} should say format {FORMAT!r} and says {config.get('format')!r}: it is not a "
            f"text-to-image checkpoint. Bundled ones: {', '.join(bundled_checkpoints()) or 'none'}."
        )
    files = config.get("files")
    is_hashed = isinstance(files, dict) and WEIGHTS_FILE in files and all(map(_is_plain_hash, files.items()))
    if not isinstance(config.get("name"), str) or not is_hashed:
        raise UsageError(
            f"{path} must have a 'name' and, under 'files', the SHA-256 of {WEIGHTS_FILE} and of any other "
            f"weight file in the same folder; found name {config.get('name')!r} and files {files!r}. Write it "
            "again with `selfe-eval train`."
        )
    return CheckpointFolder(folder=path.parent, config=config, config_sha256=sha256, reference=reference)


def _is_plain_hash(item: tuple[object, object]) -> bool:
    """A file name without folders, and 64 hexadecimal digits."""
    name, sha256 = item
    return (
        isinstance(name, str)
        and Path(name).name == name
        and isinstance(sha256, str)
        and len(sha256) == 64
        and all(digit in "0123456789abcdef" for digit in sha256)
    )
