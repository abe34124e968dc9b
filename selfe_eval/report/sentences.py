"""The monotonicity verdict in words: what is claimed, with which bound, and what would settle it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from selfe_eval.metrics import METRICS, Unit
from selfe_eval.report.cells import two_digits
from selfe_eval.report.measures import Measure
from selfe_eval.report.summary import Summary
from selfe_eval.stats.drawdown import MIN_CLUSTERS, MonotonicityVerdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A verdict with what it is about."""

    verdict: MonotonicityVerdict
    """The answer and its bounds."""
    steps: Sequence[int]
    """The step counts, ascending."""
    unit: Unit
    """Of the bounds."""
    too_small: str
    """What is wrong where there is too little for a verdict."""
    no_error: str
    """What is wrong where there is too little even for an error."""


def summary_claim(summary: Summary) -> Claim:
    """What a run says about GenEval."""
    steps = [row.steps for row in summary.rows]
    return Claim(
        verdict=summary.verdict,
        steps=steps,
        unit="share",
        too_small=f"a task has fewer than {MIN_CLUSTERS} prompts",
        no_error="a task has fewer than two prompts with a score",
    )


def measure_claim(measure: Measure) -> Claim | None:
    """What a run says about a metric; None where no direction is better."""
    if measure.verdict is None:
        return None
    is_mean = METRICS[measure.kind].need != "reference"
    groups = "prompts" if is_mean else "groups of prompts"
    return Claim(
        verdict=measure.verdict,
        steps=[row.steps for row in measure.rows],
        unit=measure.unit,
        too_small=f"there are fewer than {MIN_CLUSTERS} {groups}",
        no_error=f"there are fewer than two {groups} with a number",
    )


def points(share: float) -> str:
    """A difference of shares in percentage points.

    >>> points(0.0131)
    '1.3 pp'
    """
    return f"{100 * share:.1f} pp"


def amount(difference: float, unit: Unit) -> str:
    """A difference in the metric's units.

    >>> amount(0.0131, "share"), amount(0.5, "points"), amount(0.01234, "distance"), amount(123.4, "distance")
    ('1.3 pp', '0.50 points', '0.012', '123')
    """
    if unit == "share":
        return points(difference)
    text = f"{difference:.{two_digits(difference)}f}" if difference else "0"
    return f"{text} points" if unit == "points" else text


def verdict_word(summary: Summary) -> str:
    """The outcome of a run as the heading of its sentence."""
    return claim_word(summary_claim(summary))


def verdict_sentence(summary: Summary) -> str:
    """What follows the word: one sentence with its 95 % bounds."""
    return claim_sentence(summary_claim(summary))


def claim_word(claim: Claim) -> str:
    """The outcome as the heading of the sentence.

    A VIOLATED or INCONCLUSIVE carries no delta: only MONOTONE depends on the drop one is willing to bear.
    """
    verdict = claim.verdict
    if verdict.outcome == "monotone":
        return f"MONOTONE (delta {amount(verdict.delta, claim.unit)})"
    return verdict.outcome.upper()


def claim_sentence(claim: Claim) -> str:
    """What follows the word: one sentence with its 95 % bounds."""
    verdict = claim.verdict
    first, last = claim.steps[0], claim.steps[-1]
    lower, upper, gain = verdict.drawdown_lower, verdict.drawdown_upper, verdict.gain_lower
    if lower is None or upper is None or gain is None or verdict.worst_pair is None:
        return _without_bounds(claim)
    few, many = verdict.worst_pair
    if verdict.outcome == "violated":
        return f"quality at {many} steps is worse than at {few} by at least {amount(lower, claim.unit)}."
    if verdict.outcome == "monotone":
        return (
            f"quality never falls by more than {amount(upper, claim.unit)} from {first} to {last} steps and rises "
            f"by at least {amount(gain, claim.unit)}."
        )
    if verdict.reason == "drawdown_not_excluded":
        return (
            f"a fall of up to {amount(upper, claim.unit)} (from {few} to {many} steps) is not excluded, more than "
            f"delta {amount(verdict.delta, claim.unit)}; more images a prompt would narrow it."
        )
    if verdict.reason == "no_endpoint_gain":
        return (
            f"no fall beyond {amount(upper, claim.unit)}, but no gain is shown: from {first} to {last} steps quality "
            f"changes by at least {amount(gain, claim.unit)}."
        )
    return f"{claim.too_small}, too few for a verdict."


def _without_bounds(claim: Claim) -> str:
    if len(claim.steps) < 2:
        return "one step count is no curve; give at least two to --steps."
    return f"{claim.no_error}, so there is no error to judge by."
