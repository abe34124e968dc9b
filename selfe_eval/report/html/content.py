"""What a page shows of a run: its numbers, its images with their evidence, and where it comes from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from selfe_eval.records import ImageKey, Suite
from selfe_eval.report.contact_sheet import Mark
from selfe_eval.report.entry import Entry, measured_alike
from selfe_eval.report.summary import Summary
from selfe_eval.runs.run import RunRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """An image of a run, as the page carries it."""

    webp: bytes
    """A WebP file."""
    size: tuple[int, int]
    """(width, height) of the image that was judged, in pixels: what boxes are measured in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownImage:
    """One planned image with what the detector saw in it."""

    key: ImageKey
    """Which image."""
    thumbnail: Thumbnail | None
    """None where it cannot be shown."""
    fault: str
    """Why it cannot be shown; empty where it can."""
    correct: bool | None
    """The verdict; None where there is none."""
    reason: str
    """Why it is wrong, or has no verdict; one sentence a line."""
    marks: tuple[Mark, ...]
    """The boxes: objects that counted, and those asked for that miss the threshold by little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownRun:
    """All of one run."""

    entry: Entry
    """Its numbers."""
    record: RunRecord
    """What ``run.json`` says."""
    suite: Suite
    """Its prompts."""
    scorer: Mapping[str, Any]
    """GenEval's scorer as it describes itself; empty where it was not asked."""
    images: tuple[ShownImage, ...]
    """Every planned image, in the order of the plan."""
    reduced: str
    """How the pictures were reduced, in a sentence; empty where they have their full size."""

    @property
    def is_partial(self) -> bool:
        """Whether it has to be stamped."""
        return any(one.partial for one in (self.entry.summary, self.entry.measures) if one)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredAlike:
    """A run that GenEval judged, among those that were judged as it was."""

    number: int
    """Which of the runs of the page, from 0."""
    entry: Entry
    """Its numbers, with its ranks."""
    summary: Summary
    """Those of GenEval."""


def scored_alike(runs: Sequence[ShownRun]) -> list[list[ScoredAlike]]:
    """The runs that may share a table or a plot, as on a leaderboard."""
    numbers = {id(run.entry): number for number, run in enumerate(runs)}
    return [
        [ScoredAlike(number=numbers[id(entry)], entry=entry, summary=summary) for entry, summary in group]
        for group in measured_alike([run.entry for run in runs])
    ]


def told_apart(runs: Sequence[ShownRun]) -> list[ShownRun]:
    """The same runs, those of one model with their number behind its name."""
    counts = Counter(run.entry.model for run in runs)
    return [
        _renamed(run, f"{run.entry.model} ({number})") if counts[run.entry.model] > 1 else run
        for number, run in enumerate(runs, start=1)
    ]


def _renamed(run: ShownRun, name: str) -> ShownRun:
    summary, measures = run.entry.summary, run.entry.measures
    entry = replace(
        run.entry,
        summary=replace(summary, model=name) if summary else None,
        measures=replace(measures, model=name) if measures else None,
    )
    return replace(run, entry=entry)
