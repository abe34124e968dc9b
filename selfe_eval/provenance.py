"""What made this number: versions, source revision, command line, device, and the hash of every file.

Only reads; starts no computation and imports no torch (its version comes from the package metadata).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

PACKAGES = (
    "selfe-eval",
    "torch",
    "torchvision",
    "accelerate",
    "diffusers",
    "torch-fidelity",
    "numpy",
    "pillow",
    "open_clip_torch",
    "resvg-py",
    "safetensors",
    "opencv-python",
    "opencv-python-headless",
    "transformers",
    "mmdet",
    "mmengine",
    "mmcv-lite",
    "mmcv",
)
"""Distributions whose version can change a number."""

_GIT_SECONDS = 10
_CHUNK_BYTES = 1 << 20


def versions() -> dict[str, str]:
    """Version of Python, of the platform and of every distribution in PACKAGES that is installed."""
    installed = {package: _version(package) for package in PACKAGES}
    found = {name: version for name, version in installed.items() if version is not None}
    return {"python": platform.python_version(), "platform": platform.platform(), **found}


def git_state(root: Path | None = None) -> dict[str, Any] | None:
    """Commit and dirty flag of the checkout that this package runs from.

    Args:
        root: The checkout's top folder; by default the one that holds ``selfe_eval``.

    Returns:
        ``{"commit": str, "dirty": bool}``, or None for an installed wheel or where git is missing.
    """
    root = Path(__file__).resolve().parent.parent if root is None else root
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changes = _git(root, "--no-optional-locks", "status", "--porcelain")
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(changes)}


def command_line() -> list[str]:
    """The command as it was typed, program first."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]


def now() -> str:
    """The time in UTC, to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def attempt(**facts: Any) -> dict[str, Any]:
    """One entry of a run's list of attempts: when, what was typed, with which code and versions."""
    return {
        "started_at": now(),
        "argv": command_line(),
        **_loaded_code(),
        **facts,
    }


def bytes_sha256(content: bytes) -> str:
    """SHA-256 of bytes, 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits. Raises OSError where it cannot be read."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def json_sha256(document: Mapping[str, Any]) -> str:
    """SHA-256 of a JSON document in canonical form: sorted keys, no spaces, no NaN.

    >>> json_sha256({"a": 1, "b": 2}) == json_sha256({"b": 2, "a": 1})
    True
    """
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return bytes_sha256(text.encode())


@cache
def _loaded_code() -> dict[str, Any]:
    """Asked once a process: what was loaded stays what it was, whatever happens to the files later."""
    return {"git": git_state(), "versions": versions()}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(root: Path, *arguments: str) -> str:
    result = subprocess.run(  # noqa: S603 - fixed arguments, no shell
        ["git", "-C", str(root), *arguments],  # noqa: S607 - git of the user's PATH is the one meant
        capture_output=True,
        text=True,
        check=True,
        timeout=_GIT_SECONDS,
    )
    return result.stdout.strip()
