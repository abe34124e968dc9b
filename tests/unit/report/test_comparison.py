from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from selfe_eval.errors import UsageError
from selfe_eval.metrics import METRICS
from selfe_eval.records import Suite
from selfe_eval.report.as_json import comparison_document
from selfe_eval.report.comparison import Comparison, ComparisonRow, compare, kind_of
from selfe_eval.report.comparison_markdown import comparison_markdown
from selfe_eval.report.comparison_table import print_comparison
from selfe_eval.report.evidence import ImageEvidence, MetricEvidence, RunEvidence, SetEvidence
from selfe_eval.report.run_evidence import scored_evidence
from selfe_eval.report.scored_run import ScoredRun
from tests.unit.report.made_evidence import made_run

MakeRun = Callable[..., ScoredRun]
MakeEvidence = Callable[..., RunEvidence]
Z = 1.959963984540054
"""The normal quantile of a two-sided 95 % interval, from a table."""


@pytest.fixture
def judged(make_run: MakeRun, suite: Suite) -> MakeEvidence:
    """A run with independent outcomes of GenEval: (curve by step count) -> RunEvidence."""
    return lambda curve, **changes: scored_evidence(make_run(curve, **changes), suite)


def rows_of(comparison: Comparison, metric: str = "geneval") -> tuple[ComparisonRow, ...]:
    """The rows of one metric; none where it is left out."""
    return next((one.rows for one in comparison.metrics if one.metric == metric), ())


def by_hand(
    metrics: Mapping[str, Mapping[int, Any]], *, seed: int | None = 0, num_prompts: int = 4, images: int = 1
) -> RunEvidence:
    """A run of one task: metric -> step count -> a number for each prompt, or (value, replicates)."""
    return RunEvidence(
        model="hand",
        suite="openmoji",
        suite_sha256="5" * 64,
        tasks=dict.fromkeys(range(num_prompts), "colors"),
        images_per_prompt=images,
        seed=seed,
        partial=False,
        spec_sha256="9" * 64,
        metrics={name: metric_by_hand(name, steps) for name, steps in metrics.items()},
    )


def metric_by_hand(name: str, steps: Mapping[int, Any]) -> MetricEvidence:
    """Evidence of a metric of the table."""
    kind = METRICS[kind_of(name)]
    return MetricEvidence(
        metric=name,
        protocol_sha256="a" * 64,
        unit=kind.unit,
        higher_is_better=kind.higher_is_better,
        is_macro=kind.name == "geneval",
        steps={
            count: SetEvidence(value=found[0], without=np.array(found[1]), n=4, n_clusters=4)
            if isinstance(found, tuple)
            else ImageEvidence(values={(prompt, 0): float(value) for prompt, value in enumerate(found)})
            for count, found in steps.items()
        },
    )


def test_a_run_equals_itself(judged: MakeEvidence) -> None:
    """An A/A comparison shows no difference and passes."""
    run = judged({2: 0.5, 4: 0.6})
    comparison = compare(run, run)

    assert comparison.outcome == "pass"
    assert [(row.overall.delta, row.outcome) for row in rows_of(comparison)] == [
        (0.0, "no_difference_shown")
    ] * 2


def test_every_metric_of_a_run_equals_itself() -> None:
    """An A/A comparison of images and of sets has differences of zero, p of one, and passes."""
    run = by_hand(
        {
            "geneval": {1: [0, 1, 1, 0]},
            "clip-score": {1: [20, 21, 25, 30]},
            "fid": {1: (30.0, [29.0, 31.0, 30.5])},
            "kid": {1: (0.0, [0.0, 0.0])},
        }
    )
    comparison = compare(run, run)
    rows = [row for one in comparison.metrics for row in one.rows]

    assert [one.metric for one in comparison.metrics] == ["geneval", "clip-score", "fid", "kid"]
    assert [(row.overall.delta, row.p_adjusted, row.outcome) for row in rows] == [
        (0.0, 1.0, "no_difference_shown")
    ] * 4


def test_a_large_gain_is_better_and_its_reverse_fails(judged: MakeEvidence) -> None:
    """Delta is B minus A."""
    low, high = judged({2: 0.3}), judged({2: 0.7}, seed=1)

    assert rows_of(compare(low, high))[0].outcome == "better"
    assert compare(low, high).outcome == "pass"
    assert rows_of(compare(high, low))[0].outcome == "worse"
    assert compare(high, low).outcome == "fail"


def test_noise_is_inconclusive(judged: MakeEvidence) -> None:
    """Equal quality with new noise and one image a prompt neither fails nor passes."""
    comparison = compare(judged({2: 0.5, 4: 0.5}, images=1), judged({2: 0.5, 4: 0.5}, images=1, seed=2))

    assert comparison.outcome == "inconclusive"
    assert "2.0 pp is not excluded" in comparison.reason


def test_only_common_images_are_paired(judged: MakeEvidence) -> None:
    """Different step counts, images and prompts are cut to what both runs have."""
    few = judged({2: 0.5, 4: 0.5}, images=1, prompt_ids=tuple(range(0, 240, 2)), unscored=1)
    many = judged({2: 0.4, 4: 0.5, 8: 0.5}, images=4)
    rows = rows_of(compare(few, many))

    assert [(row.steps, row.overall.n) for row in rows] == [(2, 119), (4, 120)]
    assert [row.tasks["single_object"].n for row in rows] == [19, 20]


def test_each_side_is_shown_with_the_number_of_its_summary(make_run: MakeRun, suite: Suite) -> None:
    """What A and B have each is the run's own score, over images that the other one lacks too."""
    a = make_run({2: 0.5}, prompt_ids=tuple(range(0, 240, 2)))
    b = make_run({2: 0.4}, seed=1)
    (row,) = rows_of(compare(scored_evidence(a, suite), scored_evidence(b, suite)))

    assert row.values == (a.summary.rows[0].overall.value, b.summary.rows[0].overall.value)


def test_p_values_are_adjusted_over_step_counts(judged: MakeEvidence) -> None:
    """With two step counts the smaller p is doubled."""
    rows = rows_of(compare(judged({2: 0.5, 4: 0.5}), judged({2: 0.5, 4: 0.55}, seed=3)))
    raw = sorted(row.overall.p or 0.0 for row in rows)
    adjusted = sorted(row.p_adjusted or 0.0 for row in rows)

    assert adjusted[0] == pytest.approx(2 * raw[0])


def test_means_of_images_are_paired_by_prompt() -> None:
    """CLIP-scores: the mean of the four differences, with their clustered standard error, by hand.

    Differences 1, 1, 3, 3 have the mean 2; sum of squares about it 4, times 4/3, over 16: se = sqrt(1/3). Half an
    image, 100 / 8, is more than that, and no error is smaller.
    """
    a = by_hand({"clip-score": {1: [20, 30, 20, 30]}})
    b = by_hand({"clip-score": {1: [21, 31, 23, 33]}})
    (row,) = rows_of(compare(a, b), "clip-score")

    assert row.overall.delta == pytest.approx(2.0)
    assert row.overall.se == pytest.approx(12.5)
    assert row.overall.ci == pytest.approx((2 - 12.5 * Z, 2 + 12.5 * Z))
    assert row.tasks == {}


def test_half_an_image_follows_the_scale_of_the_protocol() -> None:
    """CLIP-score by Hessel ends at 2.5: differences 0.1, 0.1, 1.1, 1.1 have the error sqrt(1/12), half an image 2.5 / 8."""
    a = by_hand({"clip-score[hessel]": {1: [0.2, 0.2, 0.2, 0.2]}})
    b = by_hand({"clip-score[hessel]": {1: [0.3, 0.3, 1.3, 1.3]}})
    (row,) = rows_of(compare(a, b), "clip-score[hessel]")

    assert row.overall.delta == pytest.approx(0.6)
    assert row.overall.se == pytest.approx(max(math.sqrt(1 / 12), 2.5 / 8))


def test_means_over_images_have_no_tasks_of_equal_weight() -> None:
    """A task with few prompts counts for GenEval as much as one with many, and for CLIP-score by its images."""
    tasks = {0: "counting", 1: "colors", 2: "colors", 3: "colors"}
    a = replace(by_hand({"geneval": {1: [0, 0, 0, 0]}, "clip-score": {1: [0, 0, 0, 0]}}), tasks=tasks)
    b = replace(by_hand({"geneval": {1: [1, 0, 0, 0]}, "clip-score": {1: [1, 0, 0, 0]}}), tasks=tasks)
    comparison = compare(a, b)

    assert rows_of(comparison)[0].overall.delta == pytest.approx(0.5)
    assert rows_of(comparison, "clip-score")[0].overall.delta == pytest.approx(0.25)


def test_distances_are_paired_through_their_replicates() -> None:
    """FID: differences of the replicates -9, -10, -11 have the jackknife error sqrt(2/3 * 2); less is better."""
    a = by_hand({"fid": {1: (30.0, [29.0, 30.0, 31.0])}})
    b = by_hand({"fid": {1: (20.0, [20.0, 20.0, 20.0])}})
    (row,) = rows_of(compare(a, b), "fid")

    assert (row.overall.delta, row.outcome) == (-10.0, "better")
    assert row.overall.se == pytest.approx(math.sqrt(4 / 3))
    assert compare(a, b).outcome == "pass"
    assert rows_of(compare(b, a), "fid")[0].outcome == "worse"
    assert (compare(b, a).outcome, compare(b, a).reason) == (
        "fail",
        "B is worse in fid at 1 step (Holm-adjusted p below 0.05).",
    )


def test_a_growth_of_a_distance_is_excluded_as_a_share_of_it() -> None:
    """By default FID may grow by 5 per cent of A's value: an interval that ends at 1.4 passes for 30, not for 20."""
    outcomes = {}
    for base in (20.0, 30.0):
        a = by_hand({"fid": {1: (base, [base, base])}})
        b = by_hand({"fid": {1: (base, [base - 0.5, base + 0.9])}})
        outcomes[base] = compare(a, b).outcome

    assert outcomes == {20.0: "inconclusive", 30.0: "pass"}
    assert compare(a, b, delta=1.0).reason == "A growth of fid by 1.0 is not excluded at 1 step."
    assert compare(a, b).reason == "A growth of fid by 5 per cent of A's value is excluded at 1 step."


def test_other_metrics_share_one_family() -> None:
    """Holm by hand: GenEval over its own step counts, everything else over all metrics and step counts together."""
    flat = {1: [0, 1, 0, 1], 2: [0, 1, 0, 1]}
    a = by_hand(
        {
            "geneval": flat,
            "fid": {1: (10.0, [9.0, 11.0]), 2: (10.0, [9.0, 11.0])},
            "cmmd": {2: (5.0, [5.0, 5.0])},
        }
    )
    b = by_hand(
        {
            "geneval": flat,
            "fid": {1: (12.0, [11.0, 12.0]), 2: (13.0, [12.0, 13.0])},
            "cmmd": {2: (7.0, [6.5, 7.5])},
        }
    )
    comparison = compare(a, b)
    p = {delta: math.erfc(delta / 0.5 / math.sqrt(2)) for delta in (2.0, 3.0)}

    assert [row.p_adjusted for row in rows_of(comparison)] == [1.0, 1.0]
    assert [row.overall.se for one in comparison.metrics[1:] for row in one.rows] == pytest.approx([0.5] * 3)
    assert [row.p_adjusted for row in rows_of(comparison, "fid")] == pytest.approx([2 * p[2.0], 3 * p[3.0]])
    assert [row.p_adjusted for row in rows_of(comparison, "cmmd")] == pytest.approx([2 * p[2.0]])
    assert (comparison.primary, comparison.outcome) == ("geneval", "inconclusive")


def test_a_metric_without_direction_only_differs() -> None:
    """More spread is neither better nor worse, and alone it decides nothing."""
    a = by_hand({"spread": {1: [0.0, 0.1] * 200}}, num_prompts=400)
    b = by_hand({"spread": {1: [0.5, 0.7] * 200}}, num_prompts=400)
    comparison = compare(a, b)

    assert rows_of(comparison, "spread")[0].outcome == "different"
    assert comparison.outcome == "inconclusive"
    assert "no direction" in comparison.reason


def test_the_first_metric_of_the_table_is_primary_without_geneval() -> None:
    """Whatever the order in which a run has its metrics."""
    run = by_hand(
        {"kid": {1: (0.1, [0.1, 0.2])}, "clip-score": {1: [1, 2, 3, 4]}, "fid": {1: (9.0, [8.0, 9.0])}}
    )

    assert compare(run, run).primary == "clip-score"
    assert compare(run, run, metrics=["kid", "fid"]).primary == "fid"


def test_metrics_can_be_chosen_by_name() -> None:
    """With or without what is in brackets; a name that neither run has is a usage error."""
    run = by_hand({"geneval": {1: [0, 1, 1, 0]}, "fid[openmoji-clip]": {1: (9.0, [8.0, 9.0])}})

    assert [one.metric for one in compare(run, run, metrics=["fid"]).metrics] == ["fid[openmoji-clip]"]
    assert [one.metric for one in compare(run, run, metrics=["fid[openmoji-clip]"]).metrics] == [
        "fid[openmoji-clip]"
    ]
    with pytest.raises(UsageError, match="kid"):
        compare(run, run, metrics=["kid"])


def test_one_metric_measured_differently_leaves_the_others() -> None:
    """Another protocol of one metric, and a metric that one run lacks, are named; the rest is compared."""
    sets = {"fid": {1: (9.0, [8.0, 9.0])}}
    a = by_hand({"geneval": {1: [0, 1, 1, 0]}, "clip-score": {1: [1, 2, 3, 4]}, **sets})
    b = by_hand({"geneval": {1: [0, 1, 1, 0]}, "clip-score": {1: [1, 2, 3, 4]}})
    other = replace(b.metrics["clip-score"], protocol_sha256="b" * 64)
    comparison = compare(a, replace(b, metrics={**b.metrics, "clip-score": other}))

    assert [one.metric for one in comparison.metrics] == ["geneval"]
    assert (
        "clip-score, protocol (sha256): aaaaaaaaaaaa and bbbbbbbbbbbb"
        in comparison.not_comparable["clip-score"]
    )
    assert comparison.not_comparable["fid"] == "B has no numbers of fid."
    assert comparison.outcome == "inconclusive"


def test_sets_of_other_prompts_are_not_compared() -> None:
    """A distance of other prompts, or of more images, is another number; means of images are paired all the same."""
    metrics: dict[str, dict[int, Any]] = {"clip-score": {1: [1, 2, 3, 4]}, "fid": {1: (9.0, [8.0, 9.0])}}
    a = by_hand(metrics)

    fewer = compare(a, by_hand(metrics, num_prompts=3))
    assert "not the same prompts (4 and 3)" in fewer.not_comparable["fid"]
    assert rows_of(fewer, "clip-score")[0].overall.n == 3
    more = compare(a, by_hand(metrics, images=4))
    assert "1 and 4 of each prompt" in more.not_comparable["fid"]


def test_sets_of_other_sizes_are_not_compared() -> None:
    """Missing images, and replicates that were not made alike, are named."""
    a = by_hand({"fid": {1: (9.0, [8.0, 9.0])}})
    metric = a.metrics["fid"]
    for change, said in (({"n": 3}, "4 and 3 images"), ({"without": np.array([9.0])}, "2 and 1 replicates")):
        found = metric.steps[1]
        assert isinstance(found, SetEvidence)
        other = replace(metric, steps={1: replace(found, **change)})
        comparison = compare(a, replace(a, metrics={"fid": other}))

        assert comparison.outcome == "not_comparable"
        assert said in comparison.reason


@pytest.mark.parametrize(("seeds", "same"), [((0, 0), True), ((0, 1), False), ((None, None), False)])
def test_noise_is_shared_where_the_run_seeds_are(seeds: tuple[int | None, int | None], same: bool) -> None:  # noqa: FBT001 - a parameter
    """Images that were found, and run seeds that differ, are paired by prompt alone, and both outputs say so."""
    a, b = (by_hand({"geneval": {1: [0, 1, 1, 0]}}, seed=seed) for seed in seeds)
    comparison = compare(a, b)

    assert comparison.same_noise is same
    assert comparison_document(comparison)["paired_by"] == (["prompt", "noise"] if same else ["prompt"])
    assert ("by prompt only" not in printed(comparison, a, b)) is same


def test_what_was_measured_differently_is_not_compared(judged: MakeEvidence) -> None:
    """Another suite, other prompts or another scorer is named as the reason."""
    run = judged({2: 0.5})
    for other in (replace(run, suite="geneval"), replace(run, suite_sha256="0" * 64)):
        comparison = compare(run, other)

        assert (comparison.outcome, comparison.metrics) == ("not_comparable", ())
        assert (other.suite if other.suite != run.suite else "0" * 12) in comparison.reason
    judge = judged({2: 0.5}, scorer={"sha256": "8"})
    assert "scorer (sha256)" in compare(run, judge).reason


def test_another_judge_is_another_metric(judged: MakeEvidence) -> None:
    """A run judged by a variant is compared with its like under the variant's name, and with no other."""
    own = judged({2: 0.5})
    variant = judged({2: 0.5}, scorer={"variant": "hf-weights"})

    assert "metric: geneval and geneval[hf-weights]" in compare(own, variant).reason
    assert comparison_document(compare(variant, variant))["metrics"][0]["metric"] == "geneval[hf-weights]"


def test_nothing_in_common_is_not_compared(judged: MakeEvidence) -> None:
    """No common step count or no common prompt leaves nothing to compare."""
    run = judged({2: 0.5}, prompt_ids=(0, 1))

    assert "step count" in compare(run, judged({4: 0.5})).reason
    assert "prompt" in compare(run, judged({2: 0.5}, prompt_ids=(2, 3))).reason


def test_one_prompt_is_inconclusive(judged: MakeEvidence) -> None:
    """One common prompt has a difference without an error: nothing is shown and nothing passes."""
    comparison = compare(judged({1: 0.5}, prompt_ids=(0,)), judged({1: 0.5}, prompt_ids=(0,), seed=1))

    assert comparison.outcome == "inconclusive"
    assert rows_of(comparison)[0].p_adjusted is None
    assert comparison.reason.endswith("at 1 step.")


def test_document_has_the_promised_keys(judged: MakeEvidence) -> None:
    """The document of `compare --json` begins with the keys that scripts rely on."""
    document = comparison_document(compare(judged({2: 0.5}), judged({2: 0.6}, seed=1)))

    assert list(document)[:4] == ["schema_version", "metrics", "outcome", "reason"]
    row = document["metrics"][0]
    assert list(row)[:7] == ["metric", "steps", "delta", "se", "ci", "p_adjusted", "outcome"]
    assert row["b"] - row["a"] == pytest.approx(row["delta"])
    assert len(row["tasks"]) == 6


def printed(comparison: Comparison, a: RunEvidence, b: RunEvidence, width: int = 80) -> str:
    """What a terminal of this width shows."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_comparison(comparison, a, b, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_tables_fit_the_terminal(judged: MakeEvidence, width: int) -> None:
    """No line is wider than the terminal, and no number is cut."""
    a, b = judged({2: 0.3, 50: 0.5}), judged({2: 0.7, 50: 0.5}, seed=1, model="flow-tiny")
    sets = {
        name: metric_by_hand(name, {2: (value, [value, value * 1.1]), 50: (value, [value, value])})
        for name, value in (
            ("fid[openmoji-clip]", 123.4),
            ("fd-dinov2[openmoji-clip]", 1234.5),
            ("kid", 0.00012),
        )
    }
    a, b = (replace(run, metrics={**run.metrics, **sets}) for run in (a, b))
    text = printed(compare(a, b), a, b, width)

    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert "B: flow-tiny" in text
    assert "FD-DINOv2°" in text


def test_runs_that_cannot_be_compared_show_why(judged: MakeEvidence) -> None:
    """Without rows the reason is all there is, and partial runs are stamped."""
    a, b = judged({2: 0.3}, prompt_ids=(0, 1)), judged({4: 0.3})
    text = printed(compare(a, b), a, b)

    assert "NOT COMPARABLE: They have no step count in common (2 and 4)." in text
    assert "PARTIAL" in text


def test_names_of_models_are_text_in_markdown() -> None:
    """A name that holds a bar, a line end or HTML adds no line and no markup to a job's summary."""
    run = made_run({2: 0.5}, model="a|b\n\n# <img src=x>")
    text = comparison_markdown(compare(run, run), run, run)

    assert "- A: a\\|b  # &lt;img src=x&gt; (suite openmoji" in text
    assert "<img" not in text
