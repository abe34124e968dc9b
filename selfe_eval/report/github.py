"""What a gate says to GitHub Actions: annotations, one line each, as its runner reads them from a job's output.

The form is that of the runner's documentation ("Workflow commands for GitHub Actions"), where per cent signs and line
ends of a message are escaped, and colons and commas of a title too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from selfe_eval.report.gate import Decision
from selfe_eval.report.gate_policy import OnInconclusive
from selfe_eval.report.gate_text import outcome_word

Level = Literal["error", "warning"]

_DATA = (("%", "%25"), ("\r", "%0D"), ("\n", "%0A"))
_PROPERTY = (*_DATA, (":", "%3A"), (",", "%2C"))


def annotation_lines(decisions: Sequence[Decision], on_inconclusive: OnInconclusive) -> list[str]:
    """A line for each baseline that the run fails, cannot be held against, or about which nothing is shown.

    Args:
        decisions: Against one or more baselines.
        on_inconclusive: Of the policy.
    """
    lines = []
    for decision in decisions:
        level = _level(decision, on_inconclusive)
        if level:
            title = f"selfe-eval gate: {outcome_word(decision.outcome)}"
            lines.append(annotation(level, title, f"{decision.reason} Baseline: {decision.against}."))
    return lines


def annotation(level: Level, title: str, message: str) -> str:
    """One annotation.

    >>> annotation("error", "a, b", "100 %")
    '::error title=a%2C b::100 %25'
    """
    return f"::{level} title={_escaped(title, _PROPERTY)}::{_escaped(message, _DATA)}"


def _level(decision: Decision, on_inconclusive: OnInconclusive) -> Level | None:
    if decision.outcome in {"fail", "not_comparable"}:
        return "error"
    if decision.outcome == "inconclusive" and on_inconclusive != "pass":
        return "error" if on_inconclusive == "fail" else "warning"
    return None


def _escaped(text: str, table: Sequence[tuple[str, str]]) -> str:
    for character, code in table:
        text = text.replace(character, code)
    return text
