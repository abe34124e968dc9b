"""The failed images of a run on one sheet: a score is believed, or doubted, by looking at what it calls wrong.

Reads the run folder and the images alone. What is drawn is what the verdict was given on: an image whose bytes
have changed since is refused.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selfe_eval import provenance
from selfe_eval.errors import UntrustworthyError, UsageError, unknown_name
from selfe_eval.pipeline.scored_images import Objects, ScoredImage, scored_images
from selfe_eval.records import TASKS, Suite
from selfe_eval.report.contact_sheet import JudgedPicture, Mark, contact_sheet
from selfe_eval.runs import layout
from selfe_eval.runs.atomic import atomic_write
from selfe_eval.runs.images import ImageRecord
from selfe_eval.runs.run import Run
from selfe_eval.score.decode import UNREADABLE, decode_rgb


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnFailures:
    """What came of drawing a sheet."""

    steps: int
    """The step count that was looked at."""
    path: Path | None
    """The sheet; None where nothing failed."""
    num_scored: int
    """Scored images of this step count, and of the task if one was chosen."""
    num_failed: int
    """How many of them are wrong."""
    num_drawn: int
    """How many of these are on the sheet."""


def draw_failures(
    run: Run, suite: Suite, *, steps: int | None, task: str | None, num: int, path: Path | None
) -> DrawnFailures:
    """Write a sheet of failed images.

    Args:
        run: The run.
        suite: Its suite.
        steps: The step count to look at; None for the largest.
        task: One of TASKS; None for all, spread evenly.
        num: At most so many images.
        path: Where to; None for the run folder.

    Raises:
        UsageError: the run has no such step count, or there is no such task.
        UntrustworthyError: nothing is scored there, a journal cannot be believed, or an image has changed.
    """
    count = max(run.spec.steps) if steps is None else steps
    if count not in run.spec.steps:
        listed = ", ".join(map(str, run.spec.steps))
        raise UsageError(f"--steps {count}: {run.folder} has images at {listed} steps. Give one of these.")
    if task is not None and task not in TASKS:
        raise unknown_name("task", task, TASKS)
    scored = [
        one
        for one in scored_images(run, suite)
        if one.image.key.steps == count and one.score.correct is not None and task in {None, one.prompt.task}
    ]
    if not scored:
        raise UntrustworthyError(
            f"{run.folder} has no scored images{f' of the task {task}' if task else ''} at {count} steps, so nothing "
            f"can be said about failures. Score it first: `{run.resume_command}`."
        )
    failed = [one for one in scored if not one.score.correct]
    drawn = spread_over_tasks(failed, num)
    target = None
    if drawn:
        target = path or run.folder / layout.failures_file(count, task)
        atomic_write(target, contact_sheet(judged_picture(run, one) for one in drawn))
    return DrawnFailures(
        steps=count, path=target, num_scored=len(scored), num_failed=len(failed), num_drawn=len(drawn)
    )


def spread_over_tasks(failed: Sequence[ScoredImage], num: int) -> list[ScoredImage]:
    """At most ``num`` images: as many of each task as it has and others leave, evenly spaced in each.

    Args:
        failed: In the order of the plan.
        num: How many are wanted.
    """
    by_task: dict[str, list[ScoredImage]] = defaultdict(list)
    for one in failed:
        by_task[one.prompt.task].append(one)
    turns = sorted((turn, order) for order, own in enumerate(by_task.values()) for turn in range(len(own)))
    shares = Counter(order for _, order in turns[:num])
    return [
        own[place * len(own) // shares[order]]
        for order, own in enumerate(by_task.values())
        for place in range(shares[order])
    ]


def judged_pixels(run: Run, image: ImageRecord) -> NDArray[np.uint8]:
    """Pixels of an image as it was judged, (H, W, 3) uint8 in [0, 255], red, green, blue.

    Raises:
        OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError: it cannot be read, or its bytes
            have changed since (``UNREADABLE``).
    """
    content = (run.folder / image.path).read_bytes()
    if provenance.bytes_sha256(content) != image.sha256:
        raise ValueError("its bytes are not those that were judged")
    return decode_rgb(content)


def marks_of(one: ScoredImage) -> tuple[Mark, ...]:
    """The boxes of an image: first the objects asked for that miss the threshold by little, then those that count."""
    asked = {wanted.class_name for wanted in (*one.prompt.include, *one.prompt.exclude)}
    weaker = {name: found for name, found in one.weaker.items() if name in asked}
    return (*_marks(weaker, counts=False), *_marks(one.objects, counts=True))


def judged_picture(run: Run, one: ScoredImage) -> JudgedPicture:
    """A scored image as the sheet shows it.

    Raises:
        UntrustworthyError: the image is missing or damaged, or its bytes have changed since.
    """
    try:
        pixels = judged_pixels(run, one.image)
    except UNREADABLE as error:
        raise UntrustworthyError(
            f"{run.folder / one.image.path} cannot be drawn as it was judged: {error}. `selfe-eval validate "
            f"{run.folder}` lists what has changed; make it whole with: {run.resume_command}"
        ) from error
    key = one.image.key
    return JudgedPicture(
        pixels=pixels,
        marks=marks_of(one),
        heading=f"{one.prompt.task}, prompt {key.prompt_id}, image {key.image_index}",
        prompt=one.prompt.text,
        reason=one.score.reason,
    )


def _marks(objects: Objects, *, counts: bool) -> Iterator[Mark]:
    for name, found in objects.items():
        for thing in found:
            yield Mark(class_name=name, score=thing.score, color=thing.color, box=thing.box, counts=counts)
