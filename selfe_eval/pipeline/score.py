"""Stage three: judge the images. Reads ``images.jsonl`` and the files, writes ``scores/geneval.jsonl``.

A score belongs to the bytes it was given for and to the scorer that gave it: where the image or the scorer's
description has changed, the score is stale and the image is judged again. An image that cannot be read gets a
null with the reason, never a zero, and is tried again the next time.

Batches are planned, as they are for drawing: rounding depends on what is judged together. A batch of which any
score is missing is judged again whole, and only missing records are appended.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from selfe_eval import provenance
from selfe_eval.pipeline.look import look
from selfe_eval.pipeline.plan import Batch
from selfe_eval.pipeline.progress import Progress
from selfe_eval.pipeline.read_ahead import Tray, Unreadable
from selfe_eval.records import ImageKey, Prompt, ScoredObject, Suite
from selfe_eval.report.summary import METRIC
from selfe_eval.runs import layout
from selfe_eval.runs.atomic import atomic_write, atomic_write_json
from selfe_eval.runs.images import ImageRecord
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
    return look(run, [GenEvalViewer(run, suite, scorer)], progress)


class GenEvalViewer:
    """Judges the images it is shown, and adds the scores of each planned batch to the journal."""

    def __init__(self, run: Run, suite: Suite, scorer: Scorer) -> None:
        self.batch_size = scorer.batch_size
        self._journal = layout.scores_path(run.folder, METRIC)
        self._shard = run.own_shard(self._journal)
        self._description_file = layout.scorer_path(run.folder, METRIC)
        self._prompts = {prompt.prompt_id: prompt for prompt in suite.prompts}
        self._scorer = scorer
        self._identity = scorer_id(scorer)
        self._scored: Mapping[ImageKey, ScoreRecord] = {}
        self._missing: frozenset[ImageKey] = frozenset()
        self._judged: list[ScoreRecord] = []

    def prepare(self, images: Mapping[ImageKey, ImageRecord]) -> None:
        """Leave only valid scores in the journal, and say who gives the next ones."""
        self._journal.parent.mkdir(exist_ok=True)
        _drop_stale(self._journal, images, self._identity)
        atomic_write_json(self._description_file, self._scorer.describe())

    def done(self, images: Mapping[ImageKey, ImageRecord]) -> Collection[ImageKey]:  # noqa: ARG002 - see prepare
        """The images with a score."""
        self._scored = read_scores(self._journal)
        return self._scored

    def expect(self, missing: Sequence[Batch]) -> None:
        """A batch of which any score is missing is judged again whole."""
        self._missing = frozenset(key for batch in missing for key in batch.keys)

    def see(self, tray: Tray) -> None:
        """Judge the images; only scores that are missing are added."""
        self._judged += self._judgements(tray)
        if tray.ends_batch:
            records = sorted(self._judged, key=lambda record: record.key)
            self._judged = []
            append_records(self._shard, [r.as_json() for r in records if r.key not in self._scored])

    def finish(self, run: Run) -> Run:
        """Put the processes' shards together."""
        return gather(run, self._journal, read_scores)

    def _judgements(self, tray: Tray) -> Iterator[ScoreRecord]:
        for stack in tray.stacks:
            if stack.images[0].key not in self._missing:
                continue
            prompts = [self._prompts[image.key.prompt_id] for image in stack.images]
            for image, judgement in zip(stack.images, self._scorer.score(stack.pixels, prompts), strict=True):
                yield _record(image, judgement, self._identity)
        for unreadable in tray.unreadable:
            if unreadable.image.key in self._missing:
                yield _unscored(unreadable, self._identity)


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
