"""Stage four for the metrics beside GenEval: reads their files in ``scores/``, writes ``metrics.json``.

No image and no feature is looked at. A number that was computed from other images than the run's records name is
refused, and so is a metric that was asked for and has no file.
"""

from __future__ import annotations

from selfe_eval.records import Suite
from selfe_eval.report.measures import MeasureSet
from selfe_eval.runs.run import Run


def summarise_measures(run: Run, suite: Suite) -> MeasureSet | None:
    """Compute the numbers of every metric but GenEval and write them, where they changed.

    Args:
        run: The run; the caller holds its lock. Of several processes the first one writes.
        suite: The run's suite.

    Returns:
        The numbers, or None where GenEval alone is measured.

    Raises:
        UntrustworthyError: a metric has no numbers yet, or they cannot be believed.
    """
    raise NotImplementedError((run, suite))
