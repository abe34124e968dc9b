"""Is run B better than run A? B minus A, for every metric and at every step count that both have.

Each image of B is paired with the image of A that has its prompt and index. Where both runs were drawn with the same
run seed the two began from the same noise too; else their noise is independent, which makes intervals wider and
nothing wrong. Distances are paired through their replicates, which leave out the same groups of the same prompts.

One metric is primary: GenEval, or the first of the table of metrics. Its p-values are adjusted (Holm) over its step
counts, those of all others together over metrics and step counts. The overall outcome is a gate's on the primary
metric: fail where B is shown to be worse somewhere, pass where a loss of delta is excluded everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from selfe_eval.errors import unknown_name
from selfe_eval.metrics import METRICS, Unit
from selfe_eval.report.evidence import ImageEvidence, MetricEvidence, RunEvidence, SetEvidence
from selfe_eval.report.libraries import library_note
from selfe_eval.report.outcomes import task_panel
from selfe_eval.report.sentences import amount
from selfe_eval.score.clip_score import PROTOCOLS
from selfe_eval.stats.drawdown import ALPHA
from selfe_eval.stats.jackknife import jackknife_difference
from selfe_eval.stats.paired import Difference, holm, paired_difference
from selfe_eval.stats.panel import Panel, macro_moments

RowOutcome = Literal["better", "worse", "different", "no_difference_shown"]
"""``different`` where no direction is better."""

_WIDEST = {"spread": 2.0}
"""What an image can score at most, where that is no share and no CLIP-score."""

Outcome = Literal["pass", "fail", "inconclusive", "not_comparable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRow:
    """B minus A for one metric at one step count."""

    steps: int
    """Number of sampling steps, of both runs."""
    values: tuple[float | None, float | None]
    """What A and B have, each over all its own images."""
    overall: Difference
    """Of what both have."""
    tasks: Mapping[str, Difference]
    """Of each task, not adjusted for looking at six of them; empty where the metric is no mean over tasks."""
    p_adjusted: float | None = None
    """Holm's p over the metric's family; None where there is none."""
    outcome: RowOutcome = "no_difference_shown"
    """What is shown where the adjusted p is below 0.05."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricComparison:
    """B against A for one metric."""

    metric: str
    """Full name, with the variant in brackets."""
    unit: Unit
    """What the differences are."""
    higher_is_better: bool
    """Direction."""
    rows: tuple[ComparisonRow, ...]
    """By ascending step count; at least one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """B against A."""

    metrics: tuple[MetricComparison, ...]
    """In the order of the table of metrics; empty where nothing can be compared."""
    not_comparable: Mapping[str, str]
    """Metric -> why it is left out, a sentence."""
    primary: str | None
    """The metric of the overall outcome; None where nothing can be compared."""
    same_noise: bool
    """Whether both were drawn with the same run seed."""
    outcome: Outcome
    """pass: no loss of delta anywhere; fail: a loss is shown; inconclusive: neither."""
    reason: str
    """Why, in words."""
    notes: tuple[str, ...] = ()
    """What a reader must know, in sentences."""


def compare(
    a: RunEvidence, b: RunEvidence, *, metrics: Sequence[str] = (), delta: float | None = None
) -> Comparison:
    """B minus A for all metrics, or for these.

    Args:
        a: The run to compare with.
        b: The run in question.
        metrics: Full names, or names without what is in brackets; none for all that there are.
        delta: The loss in the primary metric that "pass" excludes, in units of the metric; None for `bearable_loss`.

    Raises:
        UsageError: neither run has a metric of this name.
    """
    chosen = _chosen(a, b, metrics)
    common = unlike_runs(a, b)
    reasons = {name: common or unlike_metric(a, b, name) for name in chosen}
    bare = {name: reason for name, reason in reasons.items() if reason}
    found = [metric_comparison(a, b, name) for name in chosen if not reasons[name]]
    noise = a.seed is not None and a.seed == b.seed
    if not found:
        reason = common or " ".join(bare.values())
        return Comparison(
            metrics=(),
            not_comparable=bare,
            primary=None,
            same_noise=noise,
            outcome="not_comparable",
            reason=reason,
        )
    judged = (*adjusted(found[:1]), *adjusted(found[1:]))
    outcome, reason = primary_outcome(judged[0], delta)
    return Comparison(
        metrics=judged,
        not_comparable=bare,
        primary=judged[0].metric,
        same_noise=noise,
        outcome=outcome,
        reason=reason,
        notes=tuple(filter(None, [library_note((("A", a.libraries), ("B", b.libraries)))])),
    )


def unlike_runs(a: RunEvidence, b: RunEvidence) -> str:
    """Why nothing of two runs can be compared; empty if something can."""
    facts = (
        ("suite", a.suite, b.suite),
        ("prompts of the suite (sha256)", a.suite_sha256[:12], b.suite_sha256[:12]),
    )
    differing = [f"{name}: {mine} and {other}" for name, mine, other in facts if mine != other]
    if differing:
        return f"They were not measured alike ({'; '.join(differing)})."
    if not a.tasks.keys() & b.tasks.keys():
        return "They have no prompt in common."
    return ""


def unlike_metric(a: RunEvidence, b: RunEvidence, metric: str) -> str:
    """Why two runs of one suite cannot be compared in a metric; empty if they can."""
    mine, other = a.metrics.get(metric), b.metrics.get(metric)
    if mine is None or other is None:
        return _missing(a, b, metric)
    if mine.protocol_sha256 != other.protocol_sha256 and not _different_sets(a, b, mine):
        record = "scorer" if kind_of(metric) == "geneval" else "protocol"
        return (
            f"They were not measured alike ({metric}, {record} (sha256): {mine.protocol_sha256[:12]} and "
            f"{other.protocol_sha256[:12]})."
        )
    steps = mine.steps.keys() & other.steps.keys()
    if not steps:
        return f"They have no step count in common ({_listed(mine.steps)} and {_listed(other.steps)})."
    return _different_sets(a, b, mine) or _different_images(mine, other)


def metric_comparison(a: RunEvidence, b: RunEvidence, metric: str) -> MetricComparison:
    """The differences of a metric at every common step count; p-values are not adjusted and nothing is called yet.

    Args:
        a: The run to compare with.
        b: The run in question; `unlike_metric` has no objection.
        metric: Full name of a metric of both.
    """
    mine, other = a.metrics[metric], b.metrics[metric]
    return MetricComparison(
        metric=metric,
        unit=mine.unit,
        higher_is_better=mine.higher_is_better,
        rows=tuple(_row(a, b, metric, steps) for steps in sorted(mine.steps.keys() & other.steps.keys())),
    )


def adjusted(family: Sequence[MetricComparison]) -> tuple[MetricComparison, ...]:
    """The same metrics with Holm's p-values over all their rows, and what these show."""
    p_values = iter(holm([p for one in family for row in one.rows if (p := row.overall.p) is not None]))
    made = []
    for one in family:
        rows = []
        for row in one.rows:
            p = None if row.overall.p is None else next(p_values)
            rows.append(replace(row, p_adjusted=p, outcome=_row_outcome(one, row.overall, p)))
        made.append(replace(one, rows=tuple(rows)))
    return tuple(made)


def primary_outcome(metric: MetricComparison, delta: float | None = None) -> tuple[Outcome, str]:
    """What a metric with adjusted p-values says about B, and why.

    Args:
        metric: As `adjusted` made it.
        delta: The loss that "pass" excludes, in units of the metric; None for `bearable_loss`.
    """
    if not has_direction(metric.metric):
        return "inconclusive", f"{metric.metric} has no direction that is better, so nothing can be lost."
    of = "" if kind_of(metric.metric) == "geneval" else f"in {metric.metric} "
    worse = [row.steps for row in metric.rows if row.outcome == "worse"]
    if worse:
        return "fail", f"B is worse {of}at {_at(worse)} (Holm-adjusted p below {ALPHA})."
    limits = {
        row.steps: bearable_loss(metric.metric, row.values[0]) if delta is None else delta
        for row in metric.rows
    }
    loss = _loss(metric, limits, delta)
    open_rows = [row.steps for row in metric.rows if not _is_excluded(metric, row.overall, limits[row.steps])]
    if open_rows:
        return "inconclusive", f"{loss} is not excluded at {_at(open_rows)}."
    return "pass", f"{loss} is excluded at {_at([row.steps for row in metric.rows])}."


def bearable_loss(metric: str, value: float | None) -> float:
    """The loss that a "pass" excludes by default, in units of the metric: the drop that a MONOTONE verdict excludes.

    Args:
        metric: Full name of a metric that has a direction.
        value: What A has; distances may grow by a share of it.

    >>> bearable_loss("geneval", 0.5), bearable_loss("clip-score[hessel]", 0.7), bearable_loss("fid", 20.0)
    (0.02, 0.0125, 1.0)
    """
    row = METRICS[kind_of(metric)]
    assert row.delta is not None
    if row.unit == "distance":
        return row.delta * max(value or 0.0, 0.0)
    return row.delta * full_mark(metric) / (100.0 if row.unit == "points" else 1.0)


def full_mark(metric: str) -> float:
    """What an image can score at most: 1, for CLIP-score its protocol's scale, for cosine distances 2.

    >>> full_mark("geneval"), full_mark("clip-score[openmoji-clip]"), full_mark("clip-score[dmd2]")
    (1.0, 100.0, 1.0)
    """
    if METRICS[kind_of(metric)].unit != "points":
        return _WIDEST.get(kind_of(metric), 1.0)
    variant = metric.partition("[")[2].removesuffix("]").partition("+")[0]
    return PROTOCOLS.get(variant, PROTOCOLS["default"]).scale


def kind_of(metric: str) -> str:
    """The key of the table of metrics: the name without its variant."""
    return metric.partition("[")[0]


def has_direction(metric: str) -> bool:
    """Whether more, or less, of a metric is better: spread is neither."""
    return METRICS[kind_of(metric)].delta is not None


def run_value(run: RunEvidence, metric: str, steps: int) -> float | None:
    """What a run has of a metric over all its images, as its summary says; None where a task has no image with a number."""
    evidence = run.metrics[metric]
    found = evidence.steps[steps]
    if isinstance(found, SetEvidence):
        return found.value
    moments = macro_moments(_panel(evidence, [found.values], run.tasks, run.images_per_prompt))
    return None if moments is None else float(moments.values[0])


def _chosen(a: RunEvidence, b: RunEvidence, metrics: Sequence[str]) -> list[str]:
    """The metrics to look at, in the order of the table of metrics; those of A before B's of the same kind."""
    order = list(METRICS)
    there = sorted(dict.fromkeys((*a.metrics, *b.metrics)), key=lambda name: order.index(kind_of(name)))
    for typed in metrics:
        if not any(typed in {name, kind_of(name)} for name in there):
            raise unknown_name("metric of these runs", typed, there)
    return [name for name in there if not metrics or name in metrics or kind_of(name) in metrics]


def _missing(a: RunEvidence, b: RunEvidence, metric: str) -> str:
    lacking, having, letter = (a, b, "A") if metric not in a.metrics else (b, a, "B")
    alike = [
        name for name in lacking.metrics if kind_of(name) == kind_of(metric) and name not in having.metrics
    ]
    if alike:
        names = (alike[0], metric) if letter == "A" else (metric, alike[0])
        return f"They were not measured alike (metric: {names[0]} and {names[1]})."
    return f"{letter} has no numbers of {metric}."


def _different_sets(a: RunEvidence, b: RunEvidence, metric: MetricEvidence) -> str:
    """Why a number of a whole set of images is another one in the other run."""
    if not any(isinstance(found, SetEvidence) for found in metric.steps.values()):
        return ""
    if a.tasks.keys() != b.tasks.keys():
        return (
            f"{metric.metric} is a number of all images at once, and the runs have not the same prompts "
            f"({len(a.tasks)} and {len(b.tasks)})."
        )
    if a.images_per_prompt != b.images_per_prompt:
        return (
            f"{metric.metric} depends on the number of images, and the runs have {a.images_per_prompt} and "
            f"{b.images_per_prompt} of each prompt."
        )
    return ""


def _different_images(a: MetricEvidence, b: MetricEvidence) -> str:
    """Where the sets are not of one size, or were not left out alike."""
    for steps in sorted(a.steps.keys() & b.steps.keys()):
        one, two = a.steps[steps], b.steps[steps]
        if isinstance(one, SetEvidence) != isinstance(two, SetEvidence):
            return f"Of {a.metric} one has numbers of images, the other of sets of them."
        if isinstance(one, SetEvidence) and isinstance(two, SetEvidence):
            if one.n != two.n or one.n_clusters != two.n_clusters:
                return f"{a.metric} rests on {one.n} and {two.n} images at {_at([steps])}."
            if one.without.shape != two.without.shape:
                return (
                    f"{a.metric} has {len(one.without)} and {len(two.without)} replicates at {_at([steps])}."
                )
    return ""


def _row(a: RunEvidence, b: RunEvidence, metric: str, steps: int) -> ComparisonRow:
    one, two = a.metrics[metric].steps[steps], b.metrics[metric].steps[steps]
    values = (run_value(a, metric, steps), run_value(b, metric, steps))
    if isinstance(one, SetEvidence) and isinstance(two, SetEvidence):
        overall = jackknife_difference(
            (one.value, two.value),
            np.stack([one.without, two.without], axis=1),
            n=one.n,
            n_clusters=one.n_clusters,
        )
        return ComparisonRow(steps=steps, values=values, overall=overall, tasks={})
    assert isinstance(one, ImageEvidence)
    assert isinstance(two, ImageEvidence)
    panel = _common_panel(a, b, metric, one, two)
    mark = full_mark(metric)
    tasks = {}
    if a.metrics[metric].is_macro:
        tasks = {name: paired_difference(panel.task(name), full_mark=mark) for name in panel.strata}
    return ComparisonRow(
        steps=steps, values=values, overall=paired_difference(panel, full_mark=mark), tasks=tasks
    )


def _common_panel(
    a: RunEvidence, b: RunEvidence, metric: str, one: ImageEvidence, two: ImageEvidence
) -> Panel:
    """Only the images that both have, of the prompts that both have, in the order of the suite."""
    keys = one.values.keys() & two.values.keys()
    columns = [{key: found.values[key] for key in keys} for found in (one, two)]
    tasks = {prompt_id: a.tasks[prompt_id] for prompt_id in sorted(a.tasks.keys() & b.tasks.keys())}
    return _panel(a.metrics[metric], columns, tasks, min(a.images_per_prompt, b.images_per_prompt))


def _panel(
    metric: MetricEvidence,
    columns: Sequence[Mapping[tuple[int, int], float]],
    tasks: Mapping[int, str],
    images_per_prompt: int,
) -> Panel:
    strata = tasks if metric.is_macro else dict.fromkeys(tasks, "")
    return task_panel(columns, strata, images_per_prompt)


def _row_outcome(metric: MetricComparison, difference: Difference, p_adjusted: float | None) -> RowOutcome:
    if difference.delta is None or p_adjusted is None or p_adjusted >= ALPHA:
        return "no_difference_shown"
    if not has_direction(metric.metric):
        return "different"
    return "better" if (difference.delta > 0) == metric.higher_is_better else "worse"


def _is_excluded(metric: MetricComparison, difference: Difference, delta: float) -> bool:
    """Whether the interval ends before a loss of delta."""
    if difference.ci is None:
        return False
    low, high = difference.ci
    return low > -delta if metric.higher_is_better else high < delta


def _loss(metric: MetricComparison, limits: Mapping[int, float], delta: float | None) -> str:
    """What "pass" excludes, as the subject of a sentence."""
    if delta is None and metric.unit == "distance":
        share = 100 * (METRICS[kind_of(metric.metric)].delta or 0.0)
        return f"A growth of {metric.metric} by {share:g} per cent of A's value"
    size = amount(max(limits.values()), metric.unit)
    if not metric.higher_is_better:
        return f"A growth of {metric.metric} by {size}"
    return f"A loss of {size}{'' if kind_of(metric.metric) == 'geneval' else f' in {metric.metric}'}"


def _listed(steps: Mapping[int, object]) -> str:
    return ", ".join(map(str, sorted(steps)))


def _at(steps: Sequence[int]) -> str:
    listed = ", ".join(map(str, steps))
    return f"{listed} step{'s' if list(steps) != [1] else ''}"
