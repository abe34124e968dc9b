"""Is run B better than run A? Paired by prompt and image index at every step count they share.

The question is asked once for each step count, so the p-values are adjusted (Holm) over step counts. The
overall outcome is a gate's: fail where B is shown to be worse somewhere, pass where a loss of delta is
excluded everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from selfe_eval.records import ImageKey, Prompt, Suite
from selfe_eval.report.outcomes import ImageOutcome, outcome_panel, scored_at
from selfe_eval.report.summary import Summary
from selfe_eval.stats.drawdown import ALPHA, DELTA
from selfe_eval.stats.paired import Difference, holm, paired_difference

RowOutcome = Literal["better", "worse", "no_difference_shown"]
Outcome = Literal["pass", "fail", "inconclusive", "not_comparable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredRun:
    """A run as a comparison needs it."""

    summary: Summary
    """What was measured with what."""
    prompt_ids: frozenset[int]
    """The prompts it covers."""
    outcomes: Mapping[ImageKey, ImageOutcome]
    """What was scored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRow:
    """B minus A at one step count."""

    steps: int
    """Number of sampling steps, of both runs."""
    overall: Difference
    """Of the overall scores."""
    tasks: Mapping[str, Difference]
    """Of each task; not adjusted for looking at six of them."""
    p_adjusted: float | None
    """Holm's p over the step counts."""
    outcome: RowOutcome
    """Better or worse where the adjusted p is below 0.05."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """B against A."""

    metric: str
    """What is compared; A's where the two have not the same."""
    rows: tuple[ComparisonRow, ...]
    """By ascending step count; empty where the runs cannot be compared."""
    outcome: Outcome
    """pass: no loss of delta anywhere; fail: a loss is shown; inconclusive: neither."""
    reason: str
    """Why, in words."""


def compare_runs(a: ScoredRun, b: ScoredRun, suite: Suite, *, delta: float = DELTA) -> Comparison:
    """B minus A at every step count they share.

    Args:
        a: The run to compare with.
        b: The run in question.
        suite: The suite of both.
        delta: The loss that "pass" excludes, in units of the score.
    """
    reason = not_comparable(a.summary, b.summary)
    prompts = [p for p in suite.prompts if p.prompt_id in a.prompt_ids & b.prompt_ids]
    if not reason and not prompts:
        reason = "They have no prompt in common."
    if reason:
        return Comparison(metric=a.summary.metric, rows=(), outcome="not_comparable", reason=reason)
    steps = sorted(_steps(a.summary) & _steps(b.summary))
    differences = [_differences(a, b, prompts, count) for count in steps]
    adjusted = _adjusted([overall for overall, _ in differences])
    rows = tuple(
        ComparisonRow(
            steps=count, overall=overall, tasks=tasks, p_adjusted=p, outcome=_row_outcome(overall, p)
        )
        for count, (overall, tasks), p in zip(steps, differences, adjusted, strict=True)
    )
    outcome, reason = _decide(rows, delta)
    return Comparison(metric=a.summary.metric, rows=rows, outcome=outcome, reason=reason)


def not_comparable(a: Summary, b: Summary) -> str:
    """Why two runs cannot be compared; empty if they can."""
    facts = [
        ("metric", a.metric, b.metric),
        ("suite", a.suite, b.suite),
        ("prompts of the suite (sha256)", a.suite_sha256[:12], b.suite_sha256[:12]),
        ("detector", a.detector, b.detector),
        ("scorer (sha256)", a.scorer_sha256[:12], b.scorer_sha256[:12]),
    ]
    differing = [f"{name}: {mine} and {other}" for name, mine, other in facts if mine != other]
    if differing:
        return f"They were not measured alike ({'; '.join(differing)})."
    if not _steps(a) & _steps(b):
        return f"They have no step count in common ({_listed(_steps(a))} and {_listed(_steps(b))})."
    return ""


def _steps(summary: Summary) -> set[int]:
    return {row.steps for row in summary.rows}


def _listed(steps: set[int]) -> str:
    return ", ".join(map(str, sorted(steps)))


def _differences(
    a: ScoredRun, b: ScoredRun, prompts: Sequence[Prompt], steps: int
) -> tuple[Difference, dict[str, Difference]]:
    first, second = scored_at(a.outcomes, steps), scored_at(b.outcomes, steps)
    common = first.keys() & second.keys()
    panel = outcome_panel(
        [{key: first[key] for key in common}, {key: second[key] for key in common}],
        prompts,
        min(a.summary.images_per_prompt, b.summary.images_per_prompt),
    )
    return paired_difference(panel), {name: paired_difference(panel.task(name)) for name in panel.strata}


def _adjusted(differences: Sequence[Difference]) -> list[float | None]:
    """Holm over the step counts that have a p-value."""
    known = [index for index, difference in enumerate(differences) if difference.p is not None]
    p_values = holm([p for difference in differences if (p := difference.p) is not None])
    by_index = dict(zip(known, p_values, strict=True))
    return [by_index.get(index) for index in range(len(differences))]


def _row_outcome(difference: Difference, p_adjusted: float | None) -> RowOutcome:
    if difference.delta is None or p_adjusted is None or p_adjusted >= ALPHA:
        return "no_difference_shown"
    return "better" if difference.delta > 0 else "worse"


def _decide(rows: Sequence[ComparisonRow], delta: float) -> tuple[Outcome, str]:
    worse = [row.steps for row in rows if row.outcome == "worse"]
    if worse:
        return "fail", f"B is worse at {_at(worse)} (Holm-adjusted p below {ALPHA})."
    open_rows = [row.steps for row in rows if row.overall.ci is None or row.overall.ci[0] <= -delta]
    if open_rows:
        return "inconclusive", f"A loss of {100 * delta:.1f} pp is not excluded at {_at(open_rows)}."
    return "pass", f"A loss of {100 * delta:.1f} pp is excluded at {_at([row.steps for row in rows])}."


def _at(steps: Sequence[int]) -> str:
    listed = ", ".join(map(str, steps))
    return f"{listed} step{'s' if list(steps) != [1] else ''}"
