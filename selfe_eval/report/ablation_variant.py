"""One row of the tables of an ablation: a variant with everything that was measured of it."""

from __future__ import annotations

from dataclasses import dataclass

from selfe_eval.report.measures import Measure
from selfe_eval.report.scored_run import ScoredRun


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedVariant:
    """One variant, trained with each seed and measured."""

    name: str
    """In the table of variants."""
    objective: str
    """The text of its objective."""
    seeds: tuple[int, ...]
    """Of the trainings."""
    runs: tuple[ScoredRun, ...]
    """One for each seed: GenEval."""
    measures: tuple[tuple[Measure, ...], ...]
    """For each seed the other metrics, in the order of the table of metrics."""
    folders: tuple[str, ...]
    """The run folders, one for each seed."""
    train_seconds: tuple[float, ...]
    """One for each seed."""
    step_seconds: tuple[float, ...]
    """Mean seconds of a step in each logged stretch of all trainings."""
