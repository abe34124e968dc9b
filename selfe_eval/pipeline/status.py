"""What is there of a run: images made and scored at each step count, from the records alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfe_eval.metrics import Measured
from selfe_eval.pipeline.plan import planned_keys
from selfe_eval.pipeline.summarise_measures import measured_metrics
from selfe_eval.records import ImageKey
from selfe_eval.report.summary import METRIC
from selfe_eval.runs import layout
from selfe_eval.runs.distances import read_distances
from selfe_eval.runs.images import read_images
from selfe_eval.runs.run import Run
from selfe_eval.runs.scores import read_scores
from selfe_eval.runs.shards import read_with_shards
from selfe_eval.runs.values import read_values


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStatus:
    """How far one step count is."""

    steps: int
    """Number of sampling steps."""
    planned: int
    """Images to be made."""
    made: int
    """Images with a record."""
    scored: int
    """Images with a result of every metric that was asked for."""


def status_by_steps(run: Run) -> list[StepStatus]:
    """One entry for each step count of the run.

    Raises:
        UntrustworthyError: a journal is damaged.
    """
    planned = planned_keys(run.record)
    images = read_with_shards(run.images_file, read_images)
    measured = [_judged(run)] if METRIC in run.record.measures.metrics else []
    measured += [_measured(run, one, planned) for one in measured_metrics(run)]
    scored = set(planned).intersection(*measured)
    return [
        StepStatus(
            steps=steps,
            planned=sum(key.steps == steps for key in planned),
            made=sum(key.steps == steps and key in images for key in planned),
            scored=sum(key.steps == steps and key in scored for key in planned),
        )
        for steps in run.spec.steps
    ]


def _judged(run: Run) -> set[ImageKey]:
    """The images with a verdict of GenEval's judge."""
    scores = read_with_shards(layout.scores_path(run.folder, METRIC), read_scores)
    return {key for key, record in scores.items() if record.correct is not None}


def _measured(run: Run, measured: Measured, planned: Sequence[ImageKey]) -> set[ImageKey]:
    """The images with a number of their own, or of the step counts whose images have one together."""
    if measured.metric.need != "reference":
        return set(read_values(layout.scores_path(run.folder, measured.file_stem)))
    distances = read_distances(layout.distances_path(run.folder, measured.file_stem))
    return {key for key in planned if distances and key.steps in distances.steps}
