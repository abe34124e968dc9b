"""CLIP-score and spread of a run, from stored features: one number an image. No image is looked at.

    write_clip_scores(run, suite, measured, protocol, towers, blocks)
    write_spread(run, measured, description, blocks)

``blocks`` are the features of the run's images as an iterable of `FeatureBlock`, in the order of the plan; one is held
at a time, and the numbers. Each call writes ``scores/<stem>.jsonl`` and beside it ``scores/<stem>.scorer.json``, where
either has changed, and says whether it did. Of several processes the first one calls.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfe_eval.errors import UntrustworthyError
from selfe_eval.metrics import Measured
from selfe_eval.provenance import json_sha256
from selfe_eval.records import Suite
from selfe_eval.runs import layout
from selfe_eval.runs.atomic import atomic_write
from selfe_eval.runs.images import ImageRecord
from selfe_eval.runs.journal import journal_bytes
from selfe_eval.runs.run import Run
from selfe_eval.runs.scores import protocol_of
from selfe_eval.runs.values import ValueRecord
from selfe_eval.score.clip_score import ClipProtocol, clip_scores
from selfe_eval.score.features.protocol import ClipTowers
from selfe_eval.score.spread import spreads


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FeatureBlock:
    """Consecutive images with their vectors."""

    images: Sequence[ImageRecord]
    """B images."""
    features: NDArray[np.float32]
    """(B, d), not normalised."""


Values = list[tuple[ImageRecord, float]]


def write_clip_scores(
    run: Run,
    suite: Suite,
    measured: Measured,
    protocol: ClipProtocol,
    towers: ClipTowers,
    blocks: Iterable[FeatureBlock],
) -> bool:
    """Write the CLIP-score of every image, and how many prompts the network could not read to their end.

    Args:
        run: The run; the caller holds its lock.
        suite: The run's suite.
        measured: Names the files.
        protocol: As `protocol_for` gives it with ``measured``.
        towers: What the features were made with.
        blocks: The features of the run's images.

    Returns:
        Whether a file has changed.

    Raises:
        UntrustworthyError: a feature is not finite.
    """
    texts = {prompt.prompt_id: protocol.prefix + prompt.text for prompt in suite.prompts}
    asked = {prompt_id: row for row, prompt_id in enumerate(run.record.prompt_ids)}
    read = towers.read([texts[prompt_id] for prompt_id in asked])
    values: Values = []
    for block in blocks:
        rows = [asked[image.key.prompt_id] for image in block.images]
        scores = clip_scores(block.features, read.features[rows], protocol)
        values += zip(block.images, scores.tolist(), strict=True)
    cut = [prompt_id for prompt_id, row in asked.items() if read.truncated[row]]
    description = {"metric": "clip-score", **protocol.as_json(), "extractor": towers.describe()}
    return _write(run, measured, description, _truncation(cut, len(asked), texts), values)


def write_spread(
    run: Run, measured: Measured, description: Mapping[str, Any], blocks: Iterable[FeatureBlock]
) -> bool:
    """Write the spread of every image whose prompt has at least one other at its step count.

    Args:
        run: The run; the caller holds its lock.
        measured: Names the files.
        description: What the extractor says of itself.
        blocks: The features of the run's images, so ordered that those of a prompt and step count follow each other.

    Returns:
        Whether a file has changed.

    Raises:
        UntrustworthyError: a feature is not finite.
    """
    values: Values = []
    alone = 0
    for _, group in groupby(_images(blocks), lambda one: (one[0].key.steps, one[0].key.prompt_id)):
        images, vectors = zip(*group, strict=True)
        if len(images) < 2:
            alone += 1
            continue
        values += zip(images, spreads(np.stack(vectors)).tolist(), strict=True)
    notes = (
        [f"{alone} times a prompt had a single image at a step count, which has no spread."] if alone else []
    )
    protocol = {"metric": "spread", "distance": "1 - cosine", "extractor": dict(description)}
    return _write(run, measured, protocol, notes, values)


def _images(blocks: Iterable[FeatureBlock]) -> Iterator[tuple[ImageRecord, NDArray[np.float32]]]:
    for block in blocks:
        yield from zip(block.images, block.features, strict=True)


def _truncation(cut: Sequence[int], num_prompts: int, texts: Mapping[int, str]) -> list[str]:
    if not cut:
        return []
    share = f"{len(cut)} of {num_prompts} prompts"
    return [f"The network could not read {share} to their end, first prompt {cut[0]}: {texts[cut[0]]!r}."]


def _write(
    run: Run, measured: Measured, description: Mapping[str, Any], notes: Sequence[str], values: Values
) -> bool:
    """Bring both files up to date; those that are stay untouched."""
    protocol = protocol_of(description)
    scorer = json_sha256(protocol)[:16]
    _require_finite(measured, values)
    records = [
        ValueRecord(key=image.key, value=value, image_sha256=image.sha256, scorer=scorer)
        for image, value in values
    ]
    document = json.dumps({"protocol": protocol, "notes": list(notes)}, indent=2, allow_nan=False) + "\n"
    files = {
        layout.scorer_path(run.folder, measured.file_stem): document.encode(),
        layout.scores_path(run.folder, measured.file_stem): journal_bytes(r.as_json() for r in records),
    }
    changed = {path: content for path, content in files.items() if not _holds(path, content)}
    for path, content in changed.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, content)
    return bool(changed)


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


def _require_finite(measured: Measured, values: Values) -> None:
    for image, value in values:
        if not np.isfinite(value):
            raise UntrustworthyError(
                f"The {measured.name} of {image.path} is {value}: the features of this image or of its prompt are zero or "
                "not finite. Expected vectors of a sound network; delete the run's features folder and score the run "
                "again, with --device cpu if it stays."
            )
