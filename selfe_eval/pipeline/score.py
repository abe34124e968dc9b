"""Stage three: judge the images. Reads ``images.jsonl`` and the files, writes ``scores/geneval.jsonl``.

A score belongs to the bytes it was given for and to the scorer that gave it: where the image or the scorer's
description has changed, the score is stale and the image is judged again. An image that cannot be read gets a
null with the reason, never a zero, and is tried again the next time.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from selfe_eval import provenance
from selfe_eval.pipeline.plan import planned_keys
from selfe_eval.pipeline.progress import Progress
from selfe_eval.records import ImageKey, Prompt, ScoredObject, Suite
from selfe_eval.report.summary import METRIC
from selfe_eval.runs import layout
from selfe_eval.runs.atomic import atomic_write_json
from selfe_eval.runs.images import ImageRecord, read_images
from selfe_eval.runs.journal import append_records, rewrite_journal
from selfe_eval.runs.run import Run
from selfe_eval.runs.scores import ScoreRecord, read_scores
from selfe_eval.score.detectors.protocol import RgbImages

BATCH_SIZE = 64
"""Images handed to the scorer, and recorded, together; rounding aside, it changes no score."""


class Judgement(Protocol):
    """What a scorer says about one image."""

    @property
    def correct(self) -> bool | None:
        """The verdict; None where there is none."""
        ...

    @property
    def reason(self) -> str:
        """Why it is wrong, or not scored."""
        ...

    @property
    def objects(self) -> Mapping[str, Sequence[ScoredObject]]:
        """Class name -> the objects that counted."""
        ...

    @property
    def weaker(self) -> Mapping[str, Sequence[ScoredObject]]:
        """Class name -> the objects that miss the threshold by little."""
        ...

    @property
    def near_ties(self) -> int:
        """How many colours rounding could have decided otherwise."""
        ...


class Scorer(Protocol):
    """Judges images against their prompts."""

    def score(self, images: RgbImages, prompts: Sequence[Prompt]) -> Sequence[Judgement]:
        """One judgement for each image and its prompt, in order."""
        ...

    def describe(self) -> dict[str, Any]:
        """Weights, thresholds, versions, device. JSON types only."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Readable:
    """An image whose bytes are what its record says, decoded."""

    key: ImageKey
    sha256: str
    pixels: NDArray[np.uint8]


def scorer_id(scorer: Scorer) -> str:
    """First 16 digits of the hash of the scorer's description."""
    return provenance.json_sha256(scorer.describe())[:16]


def score(run: Run, suite: Suite, scorer: Scorer, progress: Progress) -> Run:
    """Judge every image that has no valid score.

    Args:
        run: The run; the caller holds its lock.
        suite: The run's suite.
        scorer: Judges the images.
        progress: Told about every batch.

    Raises:
        UsageError: the detector does not take images of this size.
        OSError: the disk is full or not writable; every whole batch is kept.
    """
    path = layout.scores_path(run.folder, METRIC)
    path.parent.mkdir(exist_ok=True)
    identity = scorer_id(scorer)
    images = read_images(run.images_file)
    planned = [images[key] for key in planned_keys(run.record) if key in images]
    _drop_stale(path, images, identity)
    atomic_write_json(layout.scorer_path(run.folder, METRIC), scorer.describe())
    scored = read_scores(path)
    missing = [image for image in planned if image.key not in scored]
    prompts = {prompt.prompt_id: prompt for prompt in suite.prompts}
    with progress.stage("score", total=len(planned), done=len(planned) - len(missing)) as advance:
        if missing:
            attempt = provenance.attempt(stage="score")
            run = run.update(status="started", attempts=(*run.record.attempts, attempt))
        for start in range(0, len(missing), BATCH_SIZE):
            batch = missing[start : start + BATCH_SIZE]
            judged = _judge(run.folder, batch, prompts, scorer, identity)
            append_records(path, [record.as_json() for record in judged])
            advance(len(batch), f"{batch[-1].key.steps} steps")
    return run


def is_valid(record: ScoreRecord, image: ImageRecord | None, identity: str) -> bool:
    """Whether a score still speaks of this image and this scorer."""
    return (
        record.correct is not None
        and image is not None
        and record.image_sha256 == image.sha256
        and record.scorer == identity
    )


def _drop_stale(path: Path, images: Mapping[ImageKey, ImageRecord], identity: str) -> None:
    scores = read_scores(path)
    valid = [record for record in scores.values() if is_valid(record, images.get(record.key), identity)]
    if len(valid) < len(scores):
        rewrite_journal(path, [record.as_json() for record in valid])


def _judge(
    folder: Path, batch: Sequence[ImageRecord], prompts: Mapping[int, Prompt], scorer: Scorer, identity: str
) -> list[ScoreRecord]:
    """Score records in the order of the batch; images of different sizes are judged apart."""
    records: dict[ImageKey, ScoreRecord] = {}
    by_shape: dict[tuple[int, ...], list[_Readable]] = defaultdict(list)
    for image in batch:
        found = _read(folder, image, identity)
        if isinstance(found, ScoreRecord):
            records[image.key] = found
        else:
            by_shape[found.pixels.shape].append(found)
    for readable in by_shape.values():
        pixels = RgbImages(pixels=np.stack([image.pixels for image in readable]))
        judged = scorer.score(pixels, [prompts[image.key.prompt_id] for image in readable])
        for source, judgement in zip(readable, judged, strict=True):
            records[source.key] = _record(source, judgement, identity)
    return [records[image.key] for image in batch]


def _read(folder: Path, image: ImageRecord, identity: str) -> _Readable | ScoreRecord:
    """The decoded image, or a record that says why there is none."""
    path = folder / image.path
    sha256 = None
    try:
        content = path.read_bytes()
        sha256 = provenance.bytes_sha256(content)
        if sha256 == image.sha256:
            return _Readable(key=image.key, sha256=sha256, pixels=_decode(content))
        reason = f"unscored: the file has SHA-256 {sha256}, but its record says {image.sha256}"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = f"unscored: the file cannot be read as an image ({type(error).__name__}: {error})"
    return ScoreRecord(key=image.key, correct=None, reason=reason, image_sha256=sha256, scorer=identity)


def _decode(content: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"), dtype=np.uint8)


def _record(image: _Readable, judgement: Judgement, identity: str) -> ScoreRecord:
    return ScoreRecord(
        key=image.key,
        correct=None if judgement.correct is None else bool(judgement.correct),
        reason=judgement.reason,
        objects={name: _objects_json(objects) for name, objects in judgement.objects.items()},
        weaker={name: _objects_json(objects) for name, objects in judgement.weaker.items()},
        near_ties=judgement.near_ties,
        image_sha256=image.sha256,
        scorer=identity,
    )


def _objects_json(objects: Iterable[ScoredObject]) -> list[dict[str, Any]]:
    return [{**asdict(thing), "box": list(thing.box)} for thing in objects]
