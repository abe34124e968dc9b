"""Is a run worse than the baseline? Three answers for each metric and step count, and a fourth for "cannot be said".

A gain is the paired difference, run minus baseline, where better is positive: L and U are its lower and upper one-sided
95 % bounds (`selfe_eval/stats/one_sided.py`).

    fail           U < -tolerance: a loss is shown
    pass           L > -delta: a loss of delta is excluded
    inconclusive   neither
    not comparable suite, prompts or protocol differ, or the run lacks a metric or step count of the baseline

One metric is primary and decides; whatever else there is, the six tasks of GenEval among it, can only fail. The p-values
of "no loss beyond the tolerance" are adjusted (Holm) over the step counts of the primary metric, and over everything
else together, and a row fails where the adjusted one is below 0.05: with one step count that is U < -tolerance, with
more the chance of a false alarm stays 5 % for all of them together. "pass" needs no adjustment, since all have to.

Runs with other seeds can be gated too: they are paired by prompt, with wider bounds. What has fewer than 30 prompts is
inconclusive.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from selfe_eval.errors import unknown_name
from selfe_eval.metrics import METRICS, Unit
from selfe_eval.report.comparison import (
    Outcome,
    bearable_loss,
    has_direction,
    kind_of,
    metric_comparison,
    unlike_metric,
    unlike_runs,
)
from selfe_eval.report.evidence import RunEvidence
from selfe_eval.report.gate_policy import Margins, Policy, is_named
from selfe_eval.report.libraries import library_note
from selfe_eval.report.sentences import amount
from selfe_eval.stats.drawdown import ALPHA, MIN_CLUSTERS
from selfe_eval.stats.one_sided import half_width, one_sided_p
from selfe_eval.stats.paired import Difference, holm

RowOutcome = Literal["pass", "fail", "inconclusive"]

_WORST_FIRST: tuple[Outcome, ...] = ("not_comparable", "fail", "inconclusive", "pass")


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRow:
    """One metric, or one task of it, at one step count. Numbers in units of the metric."""

    metric: str
    """Full name."""
    task: str | None
    """One of the six tasks, or None for the metric itself."""
    steps: int
    """Number of sampling steps."""
    is_primary: bool
    """Whether it decides; else it can only fail."""
    unit: Unit
    """What the numbers are."""
    values: tuple[float | None, float | None]
    """Of baseline and run; None for a task, of which the difference alone is known."""
    difference: Difference
    """Run minus baseline."""
    delta: float
    """The loss that "pass" excludes."""
    tolerance: float
    """The loss beyond which it fails."""
    gain: float | None = None
    """The difference where better is positive; None, as what follows, where there are too few prompts."""
    gain_lower: float | None = None
    """L."""
    gain_upper: float | None = None
    """U."""
    p: float | None = None
    """One-sided, of no loss beyond the tolerance."""
    p_adjusted: float | None = None
    """Holm's, over its family."""
    outcome: RowOutcome = "inconclusive"
    """The answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A run against one baseline."""

    against: str
    """The baseline as the caller named it."""
    rows: tuple[GateRow, ...]
    """The primary metric first; empty where nothing can be compared."""
    outcome: Outcome
    """Of everything together."""
    reason: str
    """Why, in sentences."""
    notes: tuple[str, ...] = ()
    """What a reader must know, in sentences."""


def worst(decisions: Sequence[Decision]) -> Decision:
    """The decision that counts among those against several baselines."""
    return min(decisions, key=lambda decision: _WORST_FIRST.index(decision.outcome))


def decide(baseline: RunEvidence, run: RunEvidence, policy: Policy, *, against: str = "baseline") -> Decision:
    """The gate's answer.

    Args:
        baseline: What to hold the run against.
        run: The run in question.
        policy: What is tolerated.
        against: The baseline as the caller named it.

    Raises:
        UsageError: the policy's primary metric, or one that it has margins for, is none of the baseline's.
    """
    gated = [name for name in _in_order(baseline) if not policy.ignores(name)]
    reason = _not_comparable(baseline, run, gated, policy)
    if reason:
        return not_comparable(against, reason)
    primary = _primary(gated, policy)
    _require_secondaries([name for name in gated if name != primary], policy)
    rows = [row for name in gated for row in _rows(baseline, run, name, policy, is_primary=name == primary)]
    judged = (
        *_judged([row for row in rows if row.is_primary]),
        *_judged([row for row in rows if not row.is_primary]),
    )
    outcome = _overall(judged)
    return Decision(
        against=against,
        rows=judged,
        outcome=outcome,
        reason=_reason(judged, outcome),
        notes=tuple(_notes(baseline, run, gated, policy)),
    )


def not_comparable(against: str, reason: str) -> Decision:
    """The answer where nothing can be said about a run."""
    return Decision(against=against, rows=(), outcome="not_comparable", reason=reason)


def _in_order(run: RunEvidence) -> list[str]:
    order = list(METRICS)
    return sorted(run.metrics, key=lambda name: order.index(kind_of(name)))


def _primary(gated: Sequence[str], policy: Policy) -> str:
    """The metric that decides. GenEval is the first of the table, so by default it is the first that is there."""
    if policy.primary is None:
        return next((name for name in gated if _is_gated(name, policy)), gated[0])
    found = [name for name in gated if is_named(name, [policy.primary])]
    if not found:
        raise unknown_name("primary metric of the baseline", policy.primary, gated)
    return found[0]


def _require_secondaries(others: Sequence[str], policy: Policy) -> None:
    """Refuse margins that would hold for nothing: whoever wrote them believes that the metric is gated by them."""
    for name in policy.secondaries:
        if not any(is_named(other, [name]) for other in others):
            raise unknown_name("metric in secondaries, beside the primary one of the baseline,", name, others)


def _is_gated(metric: str, policy: Policy) -> bool:
    """A metric without a better direction is gated only where the policy gives it a delta."""
    is_primary = policy.primary is not None and is_named(metric, [policy.primary])
    return has_direction(metric) or policy.margins_of(metric, is_primary=is_primary).delta is not None


def _not_comparable(baseline: RunEvidence, run: RunEvidence, gated: Sequence[str], policy: Policy) -> str:
    """Why nothing can be said; empty if something can."""
    for name, one in (("baseline", baseline), ("run", run)):
        if one.partial:
            return f"The {name} is partial: it does not cover its suite whole, or lacks images."
    if not gated:
        return "The baseline has no metric that the policy does not ignore."
    common = unlike_runs(baseline, run)
    if common:
        return common
    if baseline.tasks != run.tasks:
        return f"They have not the same prompts ({len(baseline.tasks)} and {len(run.tasks)})."
    problems = [problem for name in gated if (problem := _lacking(baseline, run, name, policy))]
    return " ".join(problems)


def _lacking(baseline: RunEvidence, run: RunEvidence, metric: str, policy: Policy) -> str:
    """Why a metric cannot be compared at every step count that counts; empty if it can."""
    mine = baseline.metrics[metric]
    if metric not in run.metrics:
        others = [name for name in run.metrics if kind_of(name) == kind_of(metric)]
        instead = f" (it has {', '.join(others)})" if others else ""
        return f"The run lacks {metric}, which the baseline has{instead}."
    problem = unlike_metric(baseline, run, metric)
    if problem:
        return problem
    wanted = sorted(mine.steps) if policy.steps is None else policy.steps
    for name, one in (("baseline", mine), ("run", run.metrics[metric])):
        missing = [steps for steps in wanted if steps not in one.steps]
        if missing:
            return f"The {name} lacks {metric} at {_at(missing)}."
    return ""


def _rows(
    baseline: RunEvidence, run: RunEvidence, metric: str, policy: Policy, *, is_primary: bool
) -> Iterator[GateRow]:
    """The metric at every step count that counts, and its tasks."""
    margins = policy.margins_of(metric, is_primary=is_primary)
    if not _is_gated(metric, policy):
        return
    compared = metric_comparison(baseline, run, metric)
    for row in compared.rows:
        if policy.steps is not None and row.steps not in policy.steps:
            continue
        delta, tolerance = _in_units(margins, metric, row.values[0])
        for task, difference in ((None, row.overall), *row.tasks.items()):
            yield _with_bounds(
                GateRow(
                    metric=metric,
                    task=task,
                    steps=row.steps,
                    is_primary=is_primary and task is None,
                    unit=compared.unit,
                    values=row.values if task is None else (None, None),
                    difference=difference,
                    delta=delta,
                    tolerance=tolerance,
                ),
                1.0 if compared.higher_is_better else -1.0,
            )


def _with_bounds(row: GateRow, sign: float) -> GateRow:
    """What is known of the gain; nothing where there are too few prompts."""
    found = row.difference
    if found.delta is None or found.se is None or found.n_clusters < MIN_CLUSTERS:
        return row
    gain, half = sign * found.delta, half_width(found.se, found.n_clusters)
    return replace(
        row,
        gain=gain,
        gain_lower=gain - half,
        gain_upper=gain + half,
        p=one_sided_p(gain + row.tolerance, found.se, found.n_clusters),
    )


def _in_units(margins: Margins, metric: str, value: float | None) -> tuple[float, float]:
    """Delta and tolerance; of distances they are shares of what the baseline has."""
    scale = max(value or 0.0, 0.0) if METRICS[kind_of(metric)].unit == "distance" else 1.0
    delta = bearable_loss(metric, value) if margins.delta is None else margins.delta * scale
    return delta, margins.tolerance * scale


def _judged(family: Sequence[GateRow]) -> tuple[GateRow, ...]:
    """The rows with p-values adjusted for each other, and the answers."""
    adjusted = iter(holm([row.p for row in family if row.p is not None]))
    made = []
    for row in family:
        p = None if row.p is None else next(adjusted)
        made.append(replace(row, p_adjusted=p, outcome=_row_outcome(row, p)))
    return tuple(made)


def _row_outcome(row: GateRow, p_adjusted: float | None) -> RowOutcome:
    if p_adjusted is None or row.gain_lower is None:
        return "inconclusive"
    if p_adjusted < ALPHA:
        return "fail"
    return "pass" if row.gain_lower > -row.delta else "inconclusive"


def _overall(rows: Sequence[GateRow]) -> Outcome:
    if any(row.outcome == "fail" for row in rows):
        return "fail"
    primary = [row.outcome for row in rows if row.is_primary]
    return "pass" if primary and set(primary) == {"pass"} else "inconclusive"


def _reason(rows: Sequence[GateRow], outcome: Outcome) -> str:
    primary = [row for row in rows if row.is_primary]
    if not primary:
        return "The primary metric has no direction that is better, so nothing can be lost."
    if outcome == "fail":
        shown = [f"{row_name(row)} by {_loss(row)}" for row in rows if row.outcome == "fail"]
        more = f", and {len(shown) - 5} more" if len(shown) > 5 else ""
        return f"Worse than the baseline: {'; '.join(shown[:5])}{more}."
    largest = amount(max(row.delta for row in primary), primary[0].unit)
    if outcome == "pass":
        return f"A loss of {largest} in {primary[0].metric} is excluded at {_at([row.steps for row in primary])}."
    unclear = [row for row in primary if row.outcome == "inconclusive"]
    few = "; there are too few prompts" if any(row.p is None for row in unclear) else ""
    return (
        f"No loss is shown, but one of {largest} in {primary[0].metric} is not excluded at "
        f"{_at([row.steps for row in unclear])}{few}. More images a prompt would narrow it."
    )


def row_name(row: GateRow) -> str:
    """Metric, task and step count.

    A row of the task ``counting`` of GenEval at 2 steps is "geneval, counting, at 2 steps".
    """
    task = f", {row.task}," if row.task else ""
    return f"{row.metric}{task} at {_at([row.steps])}"


def _loss(row: GateRow) -> str:
    """The loss, with what it is at least."""
    assert row.gain is not None
    assert row.gain_upper is not None
    loss = amount(-row.gain, row.unit)
    return f"{loss} (at least {amount(max(-row.gain_upper, 0.0), row.unit)})"


def _notes(baseline: RunEvidence, run: RunEvidence, gated: Sequence[str], policy: Policy) -> Iterator[str]:
    if baseline.seed is None or baseline.seed != run.seed:
        yield "Baseline and run were not drawn from the same noise, so bounds are wider than they could be."
    if baseline.images_per_prompt != run.images_per_prompt:
        yield (
            f"The baseline has {baseline.images_per_prompt} images of each prompt, the run {run.images_per_prompt}; "
            "only those that both have are paired."
        )
    releases = library_note((("baseline", baseline.libraries), ("run", run.libraries)))
    if releases:
        yield releases
    ungated = [name for name in gated if not _is_gated(name, policy)]
    if ungated:
        yield f"No direction of {', '.join(ungated)} is better: not gated."
    ignored = [name for name in baseline.metrics if policy.ignores(name)]
    if ignored:
        yield f"Ignored by the policy: {', '.join(ignored)}."
    new = [name for name in run.metrics if name not in baseline.metrics]
    if new:
        yield f"Not in the baseline, so not gated: {', '.join(new)}."


def _at(steps: Sequence[int]) -> str:
    listed = ", ".join(map(str, steps))
    return f"{listed} step{'s' if list(steps) != [1] else ''}"
