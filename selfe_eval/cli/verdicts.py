"""The option ``--fail-on``: verdicts as exit codes."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from selfe_eval.errors import UntrustworthyError, VerdictError

if TYPE_CHECKING:
    from selfe_eval.report.summary import Summary


class FailOn(Enum):
    """Which verdicts make the command fail."""

    VIOLATED = "violated"
    INCONCLUSIVE = "inconclusive"


FailOnOption = Annotated[
    FailOn | None,
    typer.Option(help="Exit 10 if GenEval's verdict is violated; with inconclusive, also 11 if it is that."),
]

_EXIT_CODES = {"violated": 10, "inconclusive": 11}


def fail_on_verdict(summary: Summary | None, fail_on: FailOn) -> None:
    """Fail where the verdict on GenEval is one that the caller asked to count.

    Raises:
        VerdictError: with exit code 10 (violated) or 11 (inconclusive).
        UntrustworthyError: GenEval was not measured, so there is no verdict that could pass.
    """
    if summary is None:
        raise UntrustworthyError(
            f"--fail-on {fail_on.value} goes by GenEval's verdict, and GenEval could not be measured here; the reason stands "
            "with the results. Bring what is missing, or leave --fail-on out."
        )
    outcome = summary.verdict.outcome
    counts = outcome == "violated" or fail_on is FailOn.INCONCLUSIVE
    if outcome in _EXIT_CODES and counts:
        raise VerdictError(
            f"The verdict on {summary.model} is {outcome}, and --fail-on {fail_on.value} makes that count.",
            exit_code=_EXIT_CODES[outcome],
        )
