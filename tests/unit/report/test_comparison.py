from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from selfe_eval.records import Suite
from selfe_eval.report.as_json import comparison_document
from selfe_eval.report.comparison import ScoredRun, compare_runs
from selfe_eval.report.comparison_table import print_comparison

MakeRun = Callable[..., ScoredRun]


def test_a_run_equals_itself(make_run: MakeRun, suite: Suite) -> None:
    """An A/A comparison shows no difference and passes."""
    run = make_run({2: 0.5, 4: 0.6})
    comparison = compare_runs(run, run, suite)

    assert comparison.outcome == "pass"
    assert [(row.overall.delta, row.outcome) for row in comparison.rows] == [(0.0, "no_difference_shown")] * 2


def test_a_large_gain_is_better_and_its_reverse_fails(make_run: MakeRun, suite: Suite) -> None:
    """Delta is B minus A."""
    low, high = make_run({2: 0.3}), make_run({2: 0.7}, seed=1)

    assert compare_runs(low, high, suite).rows[0].outcome == "better"
    assert compare_runs(low, high, suite).outcome == "pass"
    assert compare_runs(high, low, suite).rows[0].outcome == "worse"
    assert compare_runs(high, low, suite).outcome == "fail"


def test_noise_is_inconclusive(make_run: MakeRun, suite: Suite) -> None:
    """Equal quality with new noise and one image a prompt neither fails nor passes."""
    comparison = compare_runs(
        make_run({2: 0.5, 4: 0.5}, images=1), make_run({2: 0.5, 4: 0.5}, images=1, seed=2), suite
    )

    assert comparison.outcome == "inconclusive"
    assert "2.0 pp is not excluded" in comparison.reason


def test_only_common_images_are_paired(make_run: MakeRun, suite: Suite) -> None:
    """Different step counts, images and prompts are cut to what both runs have."""
    few = make_run({2: 0.5, 4: 0.5}, images=1, prompt_ids=tuple(range(0, 240, 2)), unscored=1)
    many = make_run({2: 0.4, 4: 0.5, 8: 0.5}, images=4)
    comparison = compare_runs(few, many, suite)

    assert [(row.steps, row.overall.n) for row in comparison.rows] == [(2, 119), (4, 120)]
    assert [row.tasks["single_object"].n for row in comparison.rows] == [19, 20]


def test_p_values_are_adjusted_over_step_counts(make_run: MakeRun, suite: Suite) -> None:
    """With two step counts the smaller p is doubled."""
    comparison = compare_runs(make_run({2: 0.5, 4: 0.5}), make_run({2: 0.5, 4: 0.55}, seed=3), suite)
    raw = sorted(row.overall.p or 0.0 for row in comparison.rows)
    adjusted = sorted(row.p_adjusted or 0.0 for row in comparison.rows)

    assert adjusted[0] == pytest.approx(2 * raw[0])


def test_what_was_measured_differently_is_not_compared(make_run: MakeRun, suite: Suite) -> None:
    """Another suite, prompts, detector, scorer or judge that is not GenEval's own is named as the reason."""
    run = make_run({2: 0.5})
    changes: dict[str, Any] = {
        "suite": "geneval",
        "suite_sha256": "0" * 64,
        "detector": "mmdet",
        "scorer": {"sha256": "8"},
    }
    for field, value in changes.items():
        other = replace(run, summary=replace(run.summary, **{field: value}))
        comparison = compare_runs(run, other, suite)

        assert (comparison.outcome, comparison.rows) == ("not_comparable", ())
        assert ("scorer (sha256)" if field == "scorer" else value[:12]) in comparison.reason


def test_another_judge_is_another_metric(make_run: MakeRun, suite: Suite) -> None:
    """A run judged by a variant is compared with its like under the variant's name, and with no other."""
    own = make_run({2: 0.5})
    variant = make_run({2: 0.5}, scorer={"variant": "hf-weights"})

    assert "metric: geneval and geneval[hf-weights]" in compare_runs(own, variant, suite).reason
    assert comparison_document(compare_runs(variant, variant, suite))["metrics"][0]["metric"] == (
        "geneval[hf-weights]"
    )


def test_nothing_in_common_is_not_compared(make_run: MakeRun, suite: Suite) -> None:
    """No common step count or no common prompt leaves nothing to compare."""
    run = make_run({2: 0.5}, prompt_ids=(0, 1))

    assert "step count" in compare_runs(run, make_run({4: 0.5}), suite).reason
    assert "prompt" in compare_runs(run, make_run({2: 0.5}, prompt_ids=(2, 3)), suite).reason


def test_one_prompt_is_inconclusive(make_run: MakeRun, suite: Suite) -> None:
    """One common prompt has a difference without an error: nothing is shown and nothing passes."""
    comparison = compare_runs(
        make_run({1: 0.5}, prompt_ids=(0,)), make_run({1: 0.5}, prompt_ids=(0,), seed=1), suite
    )

    assert comparison.outcome == "inconclusive"
    assert comparison.rows[0].p_adjusted is None
    assert comparison.reason.endswith("at 1 step.")


def test_document_has_the_promised_keys(make_run: MakeRun, suite: Suite) -> None:
    """The document of `compare --json` has the keys that scripts rely on."""
    document = comparison_document(compare_runs(make_run({2: 0.5}), make_run({2: 0.6}, seed=1), suite))

    assert list(document) == ["schema_version", "metrics", "outcome", "reason"]
    assert list(document["metrics"][0]) == ["metric", "steps", "delta", "se", "ci", "p_adjusted", "outcome"]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_tables_fit_the_terminal(make_run: MakeRun, suite: Suite, width: int) -> None:
    """No line is wider than the terminal, and no number is cut."""
    a, b = make_run({2: 0.3, 50: 0.5}), make_run({2: 0.7, 50: 0.5}, seed=1, model="flow-tiny")
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_comparison(compare_runs(a, b, suite), a.summary, b.summary, console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()

    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert "B: flow-tiny" in text


def test_runs_that_cannot_be_compared_show_why(make_run: MakeRun, suite: Suite) -> None:
    """Without rows the reason is all there is, and partial runs are stamped."""
    a, b = make_run({2: 0.3}, prompt_ids=(0, 1)), make_run({4: 0.3})
    console = Console(file=io.StringIO(), width=80, color_system=None)
    print_comparison(compare_runs(a, b, suite), a.summary, b.summary, console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()

    assert "NOT COMPARABLE: They have no step count in common (2 and 4)." in text
    assert "PARTIAL" in text
