"""Mean and covariance of features that somebody else computed, as pytorch-fid, clean-fid and torch-fidelity keep them.

They are enough for Frechet distances and for nothing else. The file does not say which extractor made them: its hash
goes into the protocol, and a note says so.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfe_eval import provenance
from selfe_eval.errors import UsageError

_MEAN, _COVARIANCE = "mu", "sigma"
_ASYMMETRY = 1e-5
"""Largest difference across the diagonal, relative to the largest variance: sums in float32 have some."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReferenceStatistics:
    """The Gaussian of a reference whose images are not there."""

    title: str
    """What it is, for sentences."""
    sha256: str
    """Of the file's bytes."""
    mean: NDArray[np.float64]
    """(d,)."""
    covariance: NDArray[np.float64]
    """(d, d), symmetric."""

    @property
    def num_images(self) -> None:
        """N, which nobody knows."""
        return

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of a number must know, in sentences."""
        note = (
            "The reference is a file of statistics, which does not say from which images, how many, and with which "
            "extractor it was made: compare only with numbers against the same file."
        )
        return (note,)

    def record(self) -> dict[str, object]:
        """What decides a number, for its protocol."""
        return {"sha256": self.sha256, "n": self.num_images, "size": None}


def read_statistics(path: Path) -> ReferenceStatistics:
    """Read a file of statistics; no pickled objects.

    Args:
        path: An ``.npz`` file with ``mu`` (d,) and ``sigma`` (d, d).

    Raises:
        UsageError: it is missing, or not such a file.
    """
    try:
        content = path.read_bytes()
        if not zipfile.is_zipfile(io.BytesIO(content)):
            raise ValueError("it is no archive")  # noqa: TRY301 - numpy would advise to load it unsafely
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            found = {name: np.asarray(arrays[name]) for name in arrays.files}
    except (AttributeError, EOFError, OSError, ValueError, zipfile.BadZipFile) as error:
        raise UsageError(
            f"The statistics {path} cannot be read ({type(error).__name__}: {error}). Expected an .npz file with the "
            f"arrays {_MEAN} (d,) and {_COVARIANCE} (d, d), without pickled objects."
        ) from error
    wrong = _wrong(found)
    if wrong:
        raise UsageError(
            f"The statistics {path} are not usable: {wrong}. Expected finite arrays {_MEAN} (d,) and {_COVARIANCE} (d, d), "
            "symmetric, as pytorch-fid and clean-fid write them; or give the folder of images."
        )
    return ReferenceStatistics(
        title=f"the statistics {path.name!r}",
        sha256=provenance.bytes_sha256(content),
        mean=found[_MEAN].astype(np.float64),
        covariance=found[_COVARIANCE].astype(np.float64),
    )


def _wrong(found: dict[str, NDArray[Any]]) -> str:
    """What is wrong with the arrays of a file; empty where nothing is."""
    if not {_MEAN, _COVARIANCE} <= set(found):
        return f"found the arrays {', '.join(sorted(found)) or 'none'}"
    mean, covariance = found[_MEAN], found[_COVARIANCE]
    if mean.ndim != 1 or mean.size == 0 or covariance.shape != (mean.size, mean.size):
        return f"{_MEAN} has the shape {mean.shape} and {_COVARIANCE} {covariance.shape}"
    if mean.dtype.kind != "f" or covariance.dtype.kind != "f":
        return f"{_MEAN} is {mean.dtype} and {_COVARIANCE} {covariance.dtype}"
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        return "a number is not finite"
    return _wrong_covariance(covariance)


def _wrong_covariance(covariance: NDArray[Any]) -> str:
    variances = np.diagonal(covariance)
    if variances.min() < 0:
        return "a variance is negative"
    if np.abs(covariance - covariance.T).max() > _ASYMMETRY * max(variances.max(), 1e-300):
        return f"{_COVARIANCE} is not symmetric"
    return ""
