"""Reading ``metrics.json`` of a run folder, with errors that say what to do."""

from __future__ import annotations

from pathlib import Path

from selfe_eval.report.measures import MeasureSet
from selfe_eval.report.summary_file import json_object, refuse_partial
from selfe_eval.runs import layout


def read_measures(run: Path, *, allow_partial: bool = False) -> MeasureSet | None:
    """The metrics of a run beside GenEval, or None where it has none.

    Args:
        run: The run folder.
        allow_partial: Accept a partial run; whoever shows it must stamp it.

    Raises:
        UntrustworthyError: the file cannot be believed, or the run is partial.
    """
    path = run / layout.METRICS_FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    measures = MeasureSet.from_json(json_object(content, path, run))
    if not allow_partial:
        refuse_partial(measures, run)
    return measures
