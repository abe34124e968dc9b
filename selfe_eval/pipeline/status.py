"""What is there of a run: images made and scored at each step count, from the records alone."""

from __future__ import annotations

from dataclasses import dataclass

from selfe_eval.pipeline.plan import planned_keys
from selfe_eval.report.summary import METRIC
from selfe_eval.runs import layout
from selfe_eval.runs.images import read_images
from selfe_eval.runs.run import Run
from selfe_eval.runs.scores import read_scores
from selfe_eval.runs.shards import read_with_shards


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
    """Images with a verdict."""


def status_by_steps(run: Run) -> list[StepStatus]:
    """One entry for each step count of the run.

    Raises:
        UntrustworthyError: a journal is damaged.
    """
    planned = planned_keys(run.record)
    images = read_with_shards(run.images_file, read_images)
    scores = read_with_shards(layout.scores_path(run.folder, METRIC), read_scores)
    scored = {key for key, record in scores.items() if record.correct is not None}
    return [
        StepStatus(
            steps=steps,
            planned=sum(key.steps == steps for key in planned),
            made=sum(key.steps == steps and key in images for key in planned),
            scored=sum(key.steps == steps and key in scored for key in planned),
        )
        for steps in run.spec.steps
    ]
