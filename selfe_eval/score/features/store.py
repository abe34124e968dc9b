"""Feature vectors on disk: one safetensors file for each planned batch, tied to the images' bytes by their hashes.

A file is written whole, under another name first, so it is there or not; it says which images it was made from, so
vectors of other bytes are never taken for theirs. Vectors are read where they are asked for, so that what is held in
memory does not grow with the number of images.

    features/<extractor>-<id>/extractor.json               what made them
    features/<extractor>-<id>/steps-004-00012.safetensors  one batch
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from selfe_eval.errors import UntrustworthyError
from selfe_eval.runs.atomic import atomic_write

_TENSOR, _HASHES = "features", "image_sha256"


def write_features(path: Path, features: NDArray[np.float32], image_sha256: Sequence[str]) -> None:
    """Write the vectors of a batch; the folder is there.

    Args:
        path: The file.
        features: (B, d).
        image_sha256: (B,) of the image files they were made from.
    """
    content = save({_TENSOR: np.ascontiguousarray(features)}, {_HASHES: json.dumps(list(image_sha256))})
    atomic_write(path, content)


def stored_hashes(path: Path) -> tuple[str, ...]:
    """The hashes of the images that a file's vectors were made from; empty where there is no such file.

    Raises:
        UntrustworthyError: the file is damaged.
    """
    if not path.is_file():
        return ()
    try:
        with safe_open(path, framework="numpy") as file:
            return tuple(json.loads(file.metadata()[_HASHES]))
    except (KeyError, OSError, SafetensorError, TypeError, ValueError) as error:
        raise _damaged(path, error) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureFiles:
    """The vectors of consecutive batches, read where they are asked for: (N, d) like an array."""

    paths: tuple[Path, ...]
    """The files, in order."""
    lengths: tuple[int, ...]
    """Vectors in each."""
    width: int
    """d."""

    @property
    def shape(self) -> tuple[int, int]:
        """(N, d)."""
        return sum(self.lengths), self.width

    def __getitem__(self, part: slice) -> NDArray[np.float32]:
        """The vectors of a slice without a step."""
        start, stop, _ = part.indices(self.shape[0])
        found, first = [np.zeros((0, self.width), dtype=np.float32)], 0
        for path, length in zip(self.paths, self.lengths, strict=True):
            own = slice(max(start - first, 0), min(stop - first, length))
            if own.start < own.stop:
                found.append(_read(path, own))
            first += length
        return np.concatenate(found)


def stored_features(batches: Mapping[Path, Sequence[str]]) -> FeatureFiles:
    """The vectors of these batches.

    Args:
        batches: File -> the hashes of the images whose vectors it should hold; one file at least.

    Raises:
        UntrustworthyError: a file is missing, damaged, or was made from other images.
    """
    for path, hashes in batches.items():
        if stored_hashes(path) != tuple(hashes):
            raise UntrustworthyError(
                f"{path} should hold the features of {len(hashes)} images and is missing, or was made from other images. "
                "Score the run again: the features are then computed anew, and the images stay."
            )
    paths = tuple(batches)
    width = _read(paths[0], slice(0, 1)).shape[1]
    return FeatureFiles(paths=paths, lengths=tuple(map(len, batches.values())), width=width)


def _read(path: Path, part: slice) -> NDArray[np.float32]:
    try:
        with safe_open(path, framework="numpy") as file:
            rows: NDArray[np.float32] = file.get_slice(_TENSOR)[part]
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from error
    return rows


def _damaged(path: Path, error: Exception) -> UntrustworthyError:
    return UntrustworthyError(
        f"The features in {path} cannot be read ({type(error).__name__}: {error}). Delete that file and score the run "
        "again; the images stay."
    )
