"""The monotonicity verdict in words: what is claimed, with which bound, and what would settle it."""

from __future__ import annotations

from selfe_eval.report.summary import Summary
from selfe_eval.stats.drawdown import MIN_CLUSTERS


def points(share: float) -> str:
    """A difference of shares in percentage points.

    >>> points(0.0131)
    '1.3 pp'
    """
    return f"{100 * share:.1f} pp"


def verdict_word(summary: Summary) -> str:
    """The outcome as the heading of the sentence.

    A VIOLATED or INCONCLUSIVE carries no delta: only MONOTONE depends on the drop one is willing to bear.
    """
    verdict = summary.verdict
    if verdict.outcome == "monotone":
        return f"MONOTONE (delta {points(verdict.delta)})"
    return verdict.outcome.upper()


def verdict_sentence(summary: Summary) -> str:
    """What follows the word: one sentence with its 95 % bounds."""
    verdict = summary.verdict
    first, last = summary.rows[0].steps, summary.rows[-1].steps
    lower, upper, gain = verdict.drawdown_lower, verdict.drawdown_upper, verdict.gain_lower
    if lower is None or upper is None or gain is None or verdict.worst_pair is None:
        return _without_bounds(summary)
    few, many = verdict.worst_pair
    if verdict.outcome == "violated":
        return f"quality at {many} steps is worse than at {few} by at least {points(lower)}."
    if verdict.outcome == "monotone":
        return (
            f"quality never falls by more than {points(upper)} from {first} to {last} steps and rises by at "
            f"least {points(gain)}."
        )
    if verdict.reason == "drawdown_not_excluded":
        return (
            f"a fall of up to {points(upper)} (from {few} to {many} steps) is not excluded, more than delta "
            f"{points(verdict.delta)}; more images a prompt would narrow it."
        )
    if verdict.reason == "no_endpoint_gain":
        return (
            f"no fall beyond {points(upper)}, but no gain is shown: from {first} to {last} steps quality "
            f"changes by at least {points(gain)}."
        )
    return f"a task has fewer than {MIN_CLUSTERS} prompts, too few for a verdict."


def _without_bounds(summary: Summary) -> str:
    if len(summary.rows) < 2:
        return "one step count is no curve; give at least two to --steps."
    return "a task has fewer than two prompts with a score, so there is no error to judge by."
