"""Everything a page shows of runs, collected from their folders: numbers, verdicts, boxes, pictures, origins.

Reads only. An image that is missing, damaged or changed since it was judged is shown as such and counted; scores that
are not those of the summary are refused. Pictures are made as small as the size of the file asks for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfe_eval.errors import UsageError
from selfe_eval.pipeline.failures import judged_pixels, marks_of
from selfe_eval.pipeline.geneval import suite_of
from selfe_eval.pipeline.plan import planned_keys
from selfe_eval.pipeline.progress import Progress
from selfe_eval.pipeline.scored_images import ScoredImage, scored_images
from selfe_eval.records import ImageKey
from selfe_eval.report.comparison import compare
from selfe_eval.report.entry import Entry, read_entry
from selfe_eval.report.html.content import ShownImage, ShownRun, Thumbnail
from selfe_eval.report.html.page import report_page
from selfe_eval.report.html.tables import Compared
from selfe_eval.report.html.thumbnails import Reduction, fitting, thumbnail
from selfe_eval.report.ranks import ranked
from selfe_eval.report.run_evidence import read_evidence
from selfe_eval.report.scored_run import read_scored_run
from selfe_eval.report.summary import METRIC
from selfe_eval.runs import layout
from selfe_eval.runs.images import ImageRecord, read_images
from selfe_eval.runs.run import Run, open_run
from selfe_eval.score.decode import UNREADABLE

MEGABYTE = 1_000_000

_SAMPLE_SIZE = 48
"""So many pictures are made small to see how small all of them must be."""

_PLACE_BYTES = 40
"""What the page takes for each picture beside the picture itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What came of making a page."""

    content: bytes
    """The HTML file."""
    num_images: int
    """Planned images of all runs."""
    num_faults: int
    """Those that cannot be shown though they were to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A run folder that has been read, without its pictures."""

    run: Run
    shown: ShownRun
    files: Mapping[ImageKey, ImageRecord]


def make_page(folders: Sequence[Path], *, max_mb: float, with_pictures: bool, progress: Progress) -> Page:
    """One page of these runs.

    Args:
        folders: The run folders, in the order to show.
        max_mb: How large the file may be, in megabytes of 10^6 bytes.
        with_pictures: Whether the images are in it.
        progress: Who listens.

    Raises:
        UsageError: a folder holds no run, or the pictures do not fit however small they are.
        UntrustworthyError: a run has no numbers yet, or its files cannot be believed.
    """
    entries = ranked([_entry(folder) for folder in folders])
    found = [_read(folder, entry) for folder, entry in zip(folders, entries, strict=True)]
    compared = _compared(folders)
    bare = report_page([one.shown for one in found], with_pictures=False, compared=compared)
    num_images = sum(len(one.shown.images) for one in found)
    if not with_pictures:
        return Page(content=bare, num_images=num_images, num_faults=0)
    limit = max_mb * MEGABYTE
    budget = limit - len(bare) - _PLACE_BYTES * num_images
    reduction = _next_reduction(found, num_images, budget, max_mb, after=None)
    while True:
        runs = _with_pictures(found, reduction, progress)
        content = report_page(runs, with_pictures=True, compared=compared)
        if len(content) <= limit:
            num_faults = sum(bool(image.fault) for run in runs for image in run.images)
            return Page(content=content, num_images=num_images, num_faults=num_faults)
        reduction = _next_reduction(found, num_images, budget, max_mb, after=reduction)


def _read(folder: Path, entry: Entry) -> _Found:
    run = open_run(folder)
    suite = suite_of(run)
    scored = {one.image.key: one for one in scored_images(run, suite)} if entry.summary else {}
    shown = ShownRun(
        entry=entry,
        record=run.record,
        suite=suite,
        scorer=_scorer(folder) if entry.summary else {},
        images=tuple(_unseen(key, scored.get(key)) for key in planned_keys(run.record)),
        reduced="",
    )
    return _Found(run=run, shown=shown, files=read_images(run.images_file))


def _entry(folder: Path) -> Entry:
    """A run's numbers, partial or not, after seeing that GenEval's rest on the verdicts that are there."""
    open_run(folder)
    entry = read_entry(folder, allow_partial=True)
    if entry.summary:
        read_scored_run(folder, allow_partial=True)
    return entry


def _compared(folders: Sequence[Path]) -> Compared | None:
    """The paired differences, of exactly two runs."""
    if len(folders) != 2:
        return None
    first, second = (read_evidence(folder, allow_partial=True) for folder in folders)
    return Compared(comparison=compare(first, second), first=first, second=second)


def _scorer(folder: Path) -> Mapping[str, Any]:
    """The scorer with the machine it ran on, which the summary leaves out; nothing where the file is gone."""
    try:
        document = json.loads(layout.scorer_path(folder, METRIC).read_bytes())
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _unseen(key: ImageKey, scored: ScoredImage | None) -> ShownImage:
    """An image with its verdict, before its file has been looked at."""
    return ShownImage(
        key=key,
        thumbnail=None,
        fault="",
        correct=scored.score.correct if scored else None,
        reason=scored.score.reason if scored else "",
        marks=marks_of(scored) if scored else (),
    )


def _next_reduction(
    found: Sequence[_Found], num_images: int, budget: float, max_mb: float, *, after: Reduction | None
) -> Reduction:
    reduction = fitting(_sample(found), num_images, budget, after=after)
    if reduction is None:
        raise UsageError(
            f"--max-mb {max_mb:g}: {num_images} pictures do not fit into {max_mb:g} MB however small they are made. "
            "Allow a larger file, name fewer runs, or leave the pictures out with --no-images."
        )
    return reduction


def _sample(found: Sequence[_Found]) -> list[NDArray[np.uint8]]:
    """Pixels of images that can be read, spread evenly over all runs."""
    files = [(one.run, image) for one in found for image in one.files.values()]
    spread = [files[place * len(files) // _SAMPLE_SIZE] for place in range(_SAMPLE_SIZE)] if files else []
    sample = []
    for run, image in spread:
        try:
            sample.append(judged_pixels(run, image))
        except UNREADABLE:
            continue
    return sample


def _with_pictures(found: Sequence[_Found], reduction: Reduction, progress: Progress) -> list[ShownRun]:
    """The runs with their pictures, made small by as many threads as there are cores."""
    total = sum(len(one.shown.images) for one in found)
    runs = []
    with (
        progress.stage("report", total=total, done=0) as advance,
        ThreadPoolExecutor(os.cpu_count()) as threads,
    ):
        for one in found:
            images = []
            for image in threads.map(partial(_with_picture, one, reduction), one.shown.images):
                images.append(image)
                advance(1, f"{image.key.steps} steps")
            runs.append(replace(one.shown, images=tuple(images), reduced=_how_reduced(images, reduction)))
    return runs


def _with_picture(found: _Found, reduction: Reduction, image: ShownImage) -> ShownImage:
    made = _picture(found, reduction, image.key)
    return replace(image, fault=made) if isinstance(made, str) else replace(image, thumbnail=made)


def _picture(found: _Found, reduction: Reduction, key: ImageKey) -> Thumbnail | str:
    """The picture, or why there is none."""
    if key not in found.files:
        return "missing: not made or not found"
    try:
        return thumbnail(judged_pixels(found.run, found.files[key]), reduction)
    except FileNotFoundError:
        return "missing: its file is gone"
    except ValueError as error:
        return f"not shown: {error}"
    except UNREADABLE as error:
        return f"damaged: {type(error).__name__}"


def _how_reduced(images: Sequence[ShownImage], reduction: Reduction) -> str:
    largest = max((max(image.thumbnail.size) for image in images if image.thumbnail), default=0)
    return reduction.sentence(largest)
