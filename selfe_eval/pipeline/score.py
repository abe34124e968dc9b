"""Stage three: judge the images. Reads ``images.jsonl`` and the files, writes ``scores/geneval.jsonl``.

A score belongs to the bytes it was given for and to the scorer that gave it: where the image or the scorer's
description has changed, the score is stale and the image is judged again. An image that cannot be read gets a
null with the reason, never a zero, and is tried again the next time.

Batches are planned, as they are for drawing: rounding depends on what is judged together. A batch of which any
score is missing is judged again whole, and only missing records are appended.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

from selfe_eval import provenance
from selfe_eval.pipeline.plan import Batch, batches
from selfe_eval.pipeline.progress import Progress
from selfe_eval.pipeline.read_ahead import Tray, Unreadable, one_ahead, trays
from selfe_eval.pipeline.share import missing_batches, stage_of_share
from selfe_eval.records import ImageKey, Prompt, ScoredObject, Suite
from selfe_eval.report.summary import METRIC
from selfe_eval.runs import layout
from selfe_eval.runs.atomic import atomic_write, atomic_write_json
from selfe_eval.runs.images import ImageRecord, read_images
from selfe_eval.runs.journal import append_records, rewrite_journal
from selfe_eval.runs.run import Run
from selfe_eval.runs.scores import ScoreRecord, protocol_of, read_scores
from selfe_eval.runs.shards import gather
from selfe_eval.score.detectors.protocol import RgbImages


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

    @property
    def batch_size(self) -> int:
        """Images of a planned batch: judged together (large ones in parts) and recorded together."""
        ...

    def score(self, images: RgbImages, prompts: Sequence[Prompt]) -> Sequence[Judgement]:
        """One judgement for each image and its prompt, in order."""
        ...

    def describe(self) -> dict[str, Any]:
        """Weights, thresholds, versions, device. JSON types only."""
        ...


def scorer_id(scorer: Scorer) -> str:
    """First 16 digits of the hash of the scorer's description, the machine left out."""
    return provenance.json_sha256(protocol_of(scorer.describe()))[:16]


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
    identity = scorer_id(scorer)
    images = read_images(run.images_file)
    if run.ranks.is_first:
        path.parent.mkdir(exist_ok=True)
        _drop_stale(path, images, identity)
        atomic_write_json(layout.scorer_path(run.folder, METRIC), scorer.describe())
    run.ranks.meet()
    scored = read_scores(path)
    planned = _planned(run, images, scorer.batch_size)
    missing = missing_batches(run.ranks, planned, scored)
    prompts = {prompt.prompt_id: prompt for prompt in suite.prompts}
    with stage_of_share("score", progress, run.ranks, planned, missing) as advance:
        if not missing:
            return run
        attempt = provenance.attempt(stage="score", processes=run.ranks.count)
        run = run.update(status="started", attempts=(*run.record.attempts, attempt))
        share = [[images[key] for key in batch.keys] for batch in run.ranks.share(missing)]
        for judged in _judged_batches(run.folder, share, prompts, scorer, identity):
            fresh = [record.as_json() for record in judged if record.key not in scored]
            append_records(run.own_shard(path), fresh)
            advance(len(judged), f"{judged[-1].key.steps} steps")
    return gather(run, path, read_scores)


def _planned(run: Run, images: Collection[ImageKey], batch_size: int) -> list[Batch]:
    """What is judged together: it follows from the plan and from which images there are."""
    planned = batches(run.record, batch_size)
    present = [replace(batch, keys=tuple(filter(images.__contains__, batch.keys))) for batch in planned]
    return [batch for batch in present if batch.keys]


def is_valid(record: ScoreRecord, image: ImageRecord | None, identity: str) -> bool:
    """Whether a score still speaks of this image and this scorer."""
    return (
        record.correct is not None
        and image is not None
        and record.image_sha256 == image.sha256
        and record.scorer == identity
    )


def _drop_stale(path: Path, images: Mapping[ImageKey, ImageRecord], identity: str) -> None:
    """Leave valid scores alone in the journal; those of another scorer are kept beside it, under its name."""
    scores = read_scores(path)
    valid = [record for record in scores.values() if is_valid(record, images.get(record.key), identity)]
    if len(valid) < len(scores):
        for other in {record.scorer for record in scores.values()} - {identity}:
            atomic_write(layout.former_scores_path(path, other), path.read_bytes())
        rewrite_journal(path, [record.as_json() for record in valid])


def _judged_batches(
    folder: Path,
    images: Sequence[Sequence[ImageRecord]],
    prompts: Mapping[int, Prompt],
    scorer: Scorer,
    identity: str,
) -> Iterator[list[ScoreRecord]]:
    """The score records of each batch, in the order of its keys."""
    records: list[ScoreRecord] = []
    with contextlib.closing(one_ahead(trays(folder, images))) as coming:
        for tray in coming:
            records += _judged(tray, prompts, scorer, identity)
            if tray.ends_batch:
                yield sorted(records, key=lambda record: record.key)
                records = []
            del tray  # its pixels are gone before those of the next but one are made


def _judged(
    tray: Tray, prompts: Mapping[int, Prompt], scorer: Scorer, identity: str
) -> Iterator[ScoreRecord]:
    for stack in tray.stacks:
        judged = scorer.score(stack.pixels, [prompts[image.key.prompt_id] for image in stack.images])
        for image, judgement in zip(stack.images, judged, strict=True):
            yield _record(image, judgement, identity)
    for unreadable in tray.unreadable:
        yield _unscored(unreadable, identity)


def _unscored(unreadable: Unreadable, identity: str) -> ScoreRecord:
    return ScoreRecord(
        key=unreadable.image.key,
        correct=None,
        reason=f"unscored: {unreadable.reason}",
        image_sha256=unreadable.sha256,
        scorer=identity,
    )


def _record(image: ImageRecord, judgement: Judgement, identity: str) -> ScoreRecord:
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
