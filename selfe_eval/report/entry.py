"""One run on a leaderboard: its numbers of GenEval, of the other metrics, or both."""

from __future__ import annotations

from dataclasses import dataclass

from selfe_eval.report.measures import MeasureSet
from selfe_eval.report.summary import Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What there is of a run."""

    run: str
    """The run folder as the user typed it."""
    summary: Summary | None = None
    """GenEval's numbers."""
    measures: MeasureSet | None = None
    """Those of the other metrics; one of both is there."""

    @property
    def model(self) -> str:
        """Name of the model."""
        measured = self.summary or self.measures
        assert measured is not None
        return measured.model
