"""Stage four: numbers from scores. Reads ``images.jsonl`` and ``scores/``, writes ``summary.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from selfe_eval.errors import UntrustworthyError
from selfe_eval.pipeline.plan import planned_keys
from selfe_eval.records import ImageKey, Suite
from selfe_eval.report import summary as report
from selfe_eval.report.outcomes import ImageOutcome
from selfe_eval.runs import layout
from selfe_eval.runs.atomic import atomic_write
from selfe_eval.runs.images import ImageRecord, read_images
from selfe_eval.runs.run import Run
from selfe_eval.runs.scores import read_scores


def summarise(run: Run, suite: Suite) -> tuple[Run, report.Summary]:
    """Compute the summary, write it, and say in the record whether the run is complete.

    Args:
        run: The run; the caller holds its lock.
        suite: The run's suite.

    Raises:
        UntrustworthyError: nothing has been scored yet, or a journal cannot be believed.
    """
    summary = compute_summary(run, suite)
    content = report.summary_bytes(summary)
    path = run.folder / layout.SUMMARY_FILE
    if not path.is_file() or path.read_bytes() != content:
        atomic_write(path, content)
    return run.update(status="incomplete" if num_unscored(summary) else "complete"), summary


def compute_summary(run: Run, suite: Suite) -> report.Summary:
    """The summary that the records give, without writing it.

    Raises:
        UntrustworthyError: nothing has been scored yet, or a journal cannot be believed.
    """
    images = read_images(run.images_file)
    planned = set(planned_keys(run.record))
    return report.summarise(
        run.record,
        suite,
        _outcomes(run, images, planned),
        seconds={key: image.seconds for key, image in images.items() if key in planned},
        scorer=_scorer(run),
    )


def num_unscored(summary: report.Summary) -> int:
    """Planned images without a score, over all step counts."""
    return sum(row.overall.n_unscored for row in summary.rows)


def _outcomes(
    run: Run, images: Mapping[ImageKey, ImageRecord], planned: set[ImageKey]
) -> dict[ImageKey, ImageOutcome]:
    scores = read_scores(layout.scores_path(run.folder, report.METRIC))
    return {
        key: ImageOutcome(key=key, correct=record.correct, reason=record.reason)
        for key, record in scores.items()
        if key in planned and key in images and record.image_sha256 in {images[key].sha256, None}
    }


def _scorer(run: Run) -> Mapping[str, Any]:
    path = layout.scorer_path(run.folder, report.METRIC)
    try:
        description = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UntrustworthyError(
            f"{run.folder} has no scores to summarise: {path} cannot be read ({error}). Score the images "
            f"first: `{run.resume_command}`."
        ) from error
    if not isinstance(description, dict):
        raise UntrustworthyError(
            f"{path} should hold a JSON object. Score the run again: `{run.resume_command}`."
        )
    return description
