"""Look at the images of a run: each is read, checked and decoded once, and shown to everything that wants to see it.

GenEval's scorer sees an image and each extractor does, in the same pass. Each says which images it has no result for,
and keeps what it finds batch by batch; so a metric that is asked for later looks at images again, and none that is
there already is computed twice.

Batches are planned, as they are for drawing: rounding depends on what is computed together.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from selfe_eval import provenance
from selfe_eval.pipeline.plan import Batch, batches
from selfe_eval.pipeline.progress import Progress
from selfe_eval.pipeline.read_ahead import Tray, one_ahead, trays
from selfe_eval.pipeline.share import missing_batches, stage_of_share
from selfe_eval.records import ImageKey
from selfe_eval.runs.images import ImageRecord, read_images
from selfe_eval.runs.run import Run, RunRecord

Images = Mapping[ImageKey, ImageRecord]


class Viewer(Protocol):
    """Something that looks at images and keeps what it sees."""

    batch_size: int
    """Images of a planned batch: computed and kept together."""

    def prepare(self, images: Images) -> None:
        """Drop what is stale. The first process alone is asked."""
        ...

    def done(self, images: Images) -> Collection[ImageKey]:
        """The images that need no look."""
        ...

    def expect(self, missing: Sequence[Batch]) -> None:
        """The batches to compute; images of others may be shown too, and are passed over."""
        ...

    def see(self, tray: Tray) -> None:
        """Look at the next images, in the order of the plan, and keep the results of every batch that is whole."""
        ...

    def finish(self, run: Run) -> Run:
        """End the stage, in every process."""
        ...


def look(run: Run, viewers: Sequence[Viewer], progress: Progress) -> Run:
    """Show every image to the viewers that have no result for it.

    Args:
        run: The run; the caller holds its lock.
        viewers: At least one. The batch size of each divides the largest.
        progress: Told about every batch.

    Raises:
        UsageError: a viewer does not take images of this size.
        OSError: the disk is full or not writable; every whole batch is kept.
    """
    images = read_images(run.images_file)
    if run.ranks.is_first:
        for viewer in viewers:
            viewer.prepare(images)
    run.ranks.meet()
    wanted: set[ImageKey] = set()
    for viewer in viewers:
        planned = _present(batches(run.record, viewer.batch_size), images)
        missing = missing_batches(run.ranks, planned, viewer.done(images))
        viewer.expect(missing)
        wanted.update(key for batch in missing for key in batch.keys)
    shown = _shown(run.record, viewers, images)
    missing_units = [unit for unit in shown if any(not wanted.isdisjoint(batch.keys) for batch in unit)]
    everything = [batch for unit in shown for batch in unit]
    to_see = [batch for unit in missing_units for batch in unit]
    with stage_of_share("score", progress, run.ranks, everything, to_see) as advance:
        if not to_see:
            return run
        attempt = provenance.attempt(stage="score", processes=run.ranks.count)
        run = run.update(status="started", attempts=(*run.record.attempts, attempt))
        share = [batch for unit in run.ranks.share(missing_units) for batch in unit]
        records = [[images[key] for key in batch.keys] for batch in share]
        coming_batches = iter(share)
        with contextlib.closing(one_ahead(trays(run.folder, records))) as coming:
            for tray in coming:
                for viewer in viewers:
                    viewer.see(tray)
                if tray.ends_batch:
                    batch = next(coming_batches)
                    advance(len(batch.keys), f"{batch.steps} steps")
                del tray  # its pixels are gone before those of the next but one are made
    for viewer in viewers:
        run = viewer.finish(run)
    return run


def _present(planned: Sequence[Batch], images: Collection[ImageKey]) -> list[Batch]:
    """What is computed together: it follows from the plan and from which images there are."""
    present = [replace(batch, keys=tuple(filter(images.__contains__, batch.keys))) for batch in planned]
    return [batch for batch in present if batch.keys]


def _shown(record: RunRecord, viewers: Sequence[Viewer], images: Collection[ImageKey]) -> list[list[Batch]]:
    """The images in small batches, as they are shown, by the large batch that one process takes as a whole."""
    sizes = [viewer.batch_size for viewer in viewers]
    large, small = max(sizes), min(sizes)
    if any(large % size for size in sizes):
        raise ValueError(f"Batch sizes must divide the largest, found {sizes}.")
    unit_of = {key: number for number, batch in enumerate(batches(record, large)) for key in batch.keys}
    units: dict[int, list[Batch]] = {}
    for batch in _present(batches(record, small), images):
        units.setdefault(unit_of[batch.keys[0]], []).append(batch)
    return list(units.values())
