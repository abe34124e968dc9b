"""The document ``scores/<metric>.json`` of a metric that gives a set of images one number: FID and its kin.

Beside each value stand its replicates, without each group of prompts: they give intervals, verdicts and paired
comparisons without looking at features again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from selfe_eval.errors import UntrustworthyError
from selfe_eval.provenance import bytes_sha256
from selfe_eval.runs.atomic import atomic_write_json
from selfe_eval.runs.journal import refuse_constant

SCHEMA_VERSION = 1
"""Of the document. Another number is refused, never guessed at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """The number at one step count."""

    value: float
    """Of all images."""
    without: tuple[float, ...]
    """(G,) the same without each group of prompts."""
    n: int
    """Number of images."""
    n_clusters: int
    """Number of prompts with an image."""
    images_sha256: str
    """What the value was computed from: see `images_sha256`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distances:
    """One metric of a run."""

    metric: str
    """Full name, with the variant in brackets."""
    protocol: Mapping[str, Any]
    """Everything that decides the number but the images: extractor, reference, estimator, how many images are planned."""
    notes: tuple[str, ...]
    """What a reader must know, in sentences: too few images for the width, lossy references."""
    steps: Mapping[int, Distance]
    """Step count -> the number."""


def images_sha256(hashes: Iterable[str]) -> str:
    """The hash of a list of images' hashes, in the order of the plan.

    >>> images_sha256(["a", "b"]) == images_sha256(["b", "a"])
    False
    """
    return bytes_sha256("\n".join(hashes).encode())


def write_distances(path: Path, distances: Distances) -> None:
    """Replace the document in one step."""
    document = {"schema_version": SCHEMA_VERSION, **asdict(distances)}
    document["steps"] = {str(steps): asdict(one) for steps, one in distances.steps.items()}
    atomic_write_json(path, document)


def read_distances(path: Path) -> Distances | None:
    """The document, or None where there is none.

    Raises:
        UntrustworthyError: it is damaged or of another version.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        document = json.loads(content, parse_constant=refuse_constant)
        if document["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema_version {document['schema_version']!r}")  # noqa: TRY301 - joins the rest
        steps = {
            int(count): Distance(**{**one, "without": tuple(map(float, one["without"]))})
            for count, one in document["steps"].items()
        }
        return Distances(
            metric=document["metric"],
            protocol=document["protocol"],
            notes=tuple(document["notes"]),
            steps=steps,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UntrustworthyError(
            f"{path} cannot be believed: {type(error).__name__} {error}. Delete that file and score the run again; "
            "images and features stay."
        ) from error
