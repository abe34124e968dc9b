"""Reading ``metrics.json`` of a run folder, with errors that say what to do."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from selfe_eval.errors import UntrustworthyError
from selfe_eval.report.measures import MeasureSet
from selfe_eval.runs import layout
from selfe_eval.runs.journal import refuse_constant


def read_measures(run: Path, *, allow_partial: bool = False) -> MeasureSet | None:
    """The metrics of a run beside GenEval, or None where it has none.

    Args:
        run: The run folder.
        allow_partial: Accept a partial run; whoever shows it must stamp it.

    Raises:
        UntrustworthyError: the file cannot be believed, or the run is partial.
    """
    path = run / layout.METRICS_FILE
    again = f"`selfe-eval summarise {shlex.quote(str(run))}`"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        document = json.loads(content, parse_constant=refuse_constant)
    except ValueError as error:
        raise UntrustworthyError(
            f"{path} is damaged: expected one JSON document, but {error}. Write it again with {again}."
        ) from error
    if not isinstance(document, dict):
        raise UntrustworthyError(
            f"{path} is damaged: expected a JSON object, found a {type(document).__name__}. Write it again with {again}."
        )
    measures = MeasureSet.from_json(document)
    if measures.partial and not allow_partial:
        raise UntrustworthyError(
            f"The run {run} is partial: it covers {measures.num_prompts} prompts of the suite {measures.suite}, or "
            f"lacks images, so its numbers are not the suite's. Finish it with `selfe-eval resume "
            f"{shlex.quote(str(run))}`, repeat it without --limit, or look at it, stamped, with --allow-partial."
        )
    return measures
