"""GenEval's part of a run folder as experiments need it: the summary, the prompts and the single scores."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from selfe_eval.errors import UntrustworthyError
from selfe_eval.records import ImageKey
from selfe_eval.report.outcomes import ImageOutcome, scored_at
from selfe_eval.report.summary import METRIC, Summary
from selfe_eval.report.summary_file import read_summary
from selfe_eval.runs import layout
from selfe_eval.runs.run import open_run
from selfe_eval.runs.scores import read_scores


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredRun:
    """A run that GenEval has judged."""

    summary: Summary
    """What was measured with what."""
    prompt_ids: frozenset[int]
    """The prompts it covers."""
    outcomes: Mapping[ImageKey, ImageOutcome]
    """What was scored."""
    seed: int | None
    """The run seed; None where somebody else made the images."""


def read_scored_run(folder: Path, *, allow_partial: bool = False) -> ScoredRun:
    """A run with its single scores.

    Raises:
        UsageError: The folder holds no run.
        UntrustworthyError: The run is unfinished or partial, or its scores are not those of its summary.
    """
    run = open_run(folder)
    summary = read_summary(folder, allow_partial=allow_partial)
    path = layout.scores_path(folder, METRIC)
    if not path.is_file():
        raise UntrustworthyError(
            f"{folder} has a summary and not the single scores that it rests on: expected the file {path}. Runs are "
            "compared image by image; give the whole run folder, or score it again with `selfe-eval score "
            f"{shlex.quote(str(folder))}`."
        )
    outcomes = {
        key: ImageOutcome(key=key, correct=record.correct, reason=record.reason)
        for key, record in read_scores(path).items()
    }
    for row in summary.rows:
        num_scored = len(scored_at(outcomes, row.steps))
        if num_scored != row.overall.n:
            raise UntrustworthyError(
                f"The summary of {folder} rests on {row.overall.n} scored images at {row.steps} steps, but "
                f"its scores hold {num_scored}: they were changed after it. Write it again with `selfe-eval "
                f"summarise {shlex.quote(str(folder))}`."
            )
    return ScoredRun(
        summary=summary,
        prompt_ids=frozenset(run.record.prompt_ids),
        outcomes=outcomes,
        seed=run.spec.seed if run.spec.is_drawn else None,
    )
