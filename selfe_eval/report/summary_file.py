"""Reading ``summary.json`` of a run folder, with errors that say what to do."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.report.measures import MeasureSet
from selfe_eval.report.summary import Summary
from selfe_eval.runs import layout
from selfe_eval.runs.journal import refuse_constant


def read_summary(run: Path, *, allow_partial: bool = False) -> Summary:
    """The summary of a run.

    Args:
        run: The run folder.
        allow_partial: Accept a partial run; whoever shows it must stamp it.

    Raises:
        UsageError: The folder holds no run.
        UntrustworthyError: The run has no summary yet, the summary cannot be believed, or the run is partial.
    """
    path = run / layout.SUMMARY_FILE
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _no_summary(run) from error
    summary = Summary.from_json(json_object(content, path, run))
    if not allow_partial:
        refuse_partial(summary, run)
    return summary


def json_object(content: bytes, path: Path, run: Path) -> dict[str, Any]:
    """The JSON object that a derived file of a run holds.

    Raises:
        UntrustworthyError: It holds something else; the error says how to write it again.
    """
    again = f"Write it again with `selfe-eval summarise {shlex.quote(str(run))}`."
    try:
        document = json.loads(content, parse_constant=refuse_constant)
    except ValueError as error:
        raise UntrustworthyError(
            f"{path} is damaged: expected one JSON document, but {error}. {again}"
        ) from error
    if not isinstance(document, dict):
        raise UntrustworthyError(
            f"{path} is damaged: expected a JSON object, found a {type(document).__name__}. {again}"
        )
    return document


def refuse_partial(numbers: Summary | MeasureSet, run: Path) -> None:
    """Fail where the numbers of a run are not those of its suite.

    Raises:
        UntrustworthyError: The run is partial.
    """
    if numbers.partial:
        raise UntrustworthyError(
            f"The run {run} is partial: it covers {numbers.num_prompts} prompts of the suite "
            f"{numbers.suite}, or lacks images, so its numbers are not the suite's. Finish it with "
            f"`selfe-eval resume {shlex.quote(str(run))}`, repeat it without --limit, or look at it, "
            "stamped, with --allow-partial."
        )


def _no_summary(run: Path) -> UsageError | UntrustworthyError:
    if (run / layout.RUN_FILE).is_file():
        return UntrustworthyError(
            f"The run {run} has no {layout.SUMMARY_FILE} yet: it was stopped before it was scored whole. "
            f"Finish it with `selfe-eval resume {shlex.quote(str(run))}`."
        )
    return UsageError(
        f"{run} is not a run folder: expected the files {layout.RUN_FILE} and {layout.SUMMARY_FILE} in it. "
        "Give the folder that `selfe-eval geneval` printed; runs made without --out lie in results/runs."
    )
