from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfe_eval.metrics import METRICS
from selfe_eval.report.comparison import Comparison, compare
from selfe_eval.report.evidence import ImageEvidence, MetricEvidence, RunEvidence, SetEvidence
from selfe_eval.report.flips import flips_of
from selfe_eval.stats.drawdown import ALPHA

NUM_PROMPTS, NUM_GROUPS, STEPS = 12, 4, (1, 4)
verdicts = st.lists(st.booleans(), min_size=NUM_PROMPTS * 2, max_size=NUM_PROMPTS * 2)
scores = st.lists(st.integers(0, 100), min_size=NUM_PROMPTS * 2, max_size=NUM_PROMPTS * 2)
distances = st.lists(st.integers(1, 400), min_size=NUM_GROUPS + 1, max_size=NUM_GROUPS + 1)


@st.composite
def runs(draw: st.DrawFn) -> RunEvidence:
    """A run with GenEval, CLIP-score, FID and recall at two step counts."""
    return RunEvidence(
        model="drawn",
        suite="openmoji",
        suite_sha256="5" * 64,
        tasks={prompt: ("counting", "colors")[prompt % 2] for prompt in range(NUM_PROMPTS)},
        images_per_prompt=2,
        seed=0,
        partial=False,
        spec_sha256="9" * 64,
        metrics={
            "geneval": metric("geneval", [images(draw(verdicts)) for _ in STEPS]),
            "clip-score": metric("clip-score", [images(draw(scores)) for _ in STEPS]),
            "fid": metric("fid", [a_set(draw(distances)) for _ in STEPS]),
            "recall": metric("recall", [a_set(draw(distances)) for _ in STEPS]),
        },
    )


def metric(name: str, steps: Sequence[ImageEvidence | SetEvidence]) -> MetricEvidence:
    """A metric of the table at both step counts."""
    return MetricEvidence(
        metric=name,
        protocol_sha256="a" * 64,
        unit=METRICS[name].unit,
        higher_is_better=METRICS[name].higher_is_better,
        is_macro=name == "geneval",
        steps=dict(zip(STEPS, steps, strict=True)),
    )


def images(numbers: Sequence[float]) -> ImageEvidence:
    """Two images a prompt."""
    return ImageEvidence(values={(i // 2, i % 2): float(number) for i, number in enumerate(numbers)})


def a_set(numbers: Sequence[int]) -> SetEvidence:
    """A value and its replicates."""
    value, *without = (number / 4 for number in numbers)
    return SetEvidence(value=value, without=np.array(without), n=24, n_clusters=12)


def rows(comparison: Comparison) -> list[tuple[str, int, float, float, str]]:
    """Metric, step count, difference, adjusted p and outcome."""
    return [
        (one.metric, row.steps, row.overall.delta or 0.0, row.p_adjusted or 0.0, row.outcome)
        for one in comparison.metrics
        for row in one.rows
    ]


@settings(max_examples=40)
@given(a=runs(), b=runs())
def test_swapping_the_runs_swaps_better_and_worse(a: RunEvidence, b: RunEvidence) -> None:
    """A against B is B against A with the signs turned: whoever is better in one is worse in the other."""
    turned = {"better": "worse", "worse": "better"}
    for one, other in zip(rows(compare(a, b)), rows(compare(b, a)), strict=True):
        assert other[:2] == one[:2]
        assert other[2] == pytest.approx(-one[2], abs=1e-12)
        assert other[3] == pytest.approx(one[3], rel=1e-6, abs=1e-12)
        if abs(one[3] - ALPHA) > 1e-9:
            assert other[4] == turned.get(one[4], one[4])


@settings(max_examples=40)
@given(run=runs())
def test_no_run_differs_from_itself(run: RunEvidence) -> None:
    """All differences are zero with p = 1, nothing flips, and nothing fails."""
    comparison = compare(run, run)

    assert {(delta, p, outcome) for _, _, delta, p, outcome in rows(comparison)} == {
        (0.0, 1.0, "no_difference_shown")
    }
    assert comparison.outcome in {"pass", "inconclusive"}
    assert all(found.flips == () for found in flips_of(run, run, comparison))


@settings(max_examples=40)
@given(a=runs(), b=runs())
def test_directions_hold(a: RunEvidence, b: RunEvidence) -> None:
    """Better means more of a score and less of a distance; p-values lie between the raw ones and Bonferroni's."""
    comparison = compare(a, b)
    for family in (comparison.metrics[:1], comparison.metrics[1:]):
        size = sum(len(one.rows) for one in family)
        for one in family:
            for row in one.rows:
                raw, delta = row.overall.p, row.overall.delta
                assert raw is not None
                assert delta is not None
                assert row.p_adjusted is not None
                assert raw <= row.p_adjusted <= min(1.0, size * raw)
                assert (row.outcome == "no_difference_shown") == (row.p_adjusted >= ALPHA)
                if row.outcome == "better":
                    assert (delta > 0) == (one.metric != "fid")


@settings(max_examples=40)
@given(a=runs(), b=runs())
def test_a_metric_beside_it_does_not_move_the_primary_one(a: RunEvidence, b: RunEvidence) -> None:
    """GenEval's rows and the outcome are the same alone and among others."""
    alone = [replace(run, metrics={"geneval": run.metrics["geneval"]}) for run in (a, b)]
    both, one = compare(a, b), compare(*alone)

    assert both.metrics[0] == one.metrics[0]
    assert (both.outcome, both.reason) == (one.outcome, one.reason)


@settings(max_examples=40)
@given(a=runs(), b=runs())
def test_flips_are_the_difference(a: RunEvidence, b: RunEvidence) -> None:
    """In each task the difference is what was won less what was lost, over its images."""
    comparison = compare(a, b)
    for found, row in zip(flips_of(a, b, comparison), comparison.metrics[0].rows, strict=True):
        for task, counts in found.tasks.items():
            won = (counts.to_right - counts.to_wrong) / NUM_PROMPTS
            assert row.tasks[task].delta == pytest.approx(won, abs=1e-12)
