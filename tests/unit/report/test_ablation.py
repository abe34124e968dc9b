from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import pytest
from rich.console import Console

from selfe_eval.records import Suite
from selfe_eval.report.ablation import (
    Ablation,
    Ratio,
    ablation_of,
    ablation_report,
    time_ratio,
)
from selfe_eval.report.ablation_variant import TrainedVariant
from selfe_eval.report.cells import in_unit
from selfe_eval.report.experiment import ExperimentReport, print_report, report_csv, report_markdown
from selfe_eval.report.measures import Measure, MeasureSet
from selfe_eval.report.published_ablations import published_ablations
from selfe_eval.report.scored_run import ScoredRun
from selfe_eval.train.budget import Budget

MakeRun = Callable[..., ScoredRun]
MakeMeasures = Callable[..., MeasureSet]
BUDGET = Budget(num_steps=100, batch_size=8, warm_start_steps=10, num_scenes=64, is_smoke=False)


def variant(name: str, runs: list[ScoredRun], **changes: Any) -> TrainedVariant:
    fields: dict[str, Any] = {
        "name": name,
        "objective": name,
        "seeds": tuple(range(len(runs))),
        "runs": tuple(runs),
        "measures": ((),) * len(runs),
        "folders": tuple(f"runs/{name}-seed-{seed}" for seed in range(len(runs))),
        "train_seconds": (10.0,) * len(runs),
        "step_seconds": (0.1, 0.11, 0.09),
    }
    return TrainedVariant(**{**fields, **changes})


@pytest.fixture
def two_seeds(make_run: MakeRun, suite: Suite) -> Ablation:
    """Flow matching against a variant that is much better at two steps only, two seeds each."""

    def runs(curve: Mapping[int, float]) -> list[ScoredRun]:
        return [make_run(curve, images=1, seed=seed) for seed in (0, 1)]

    variants = [
        variant("flow_matching", runs({2: 0.3, 50: 0.8})),
        variant("self_e", runs({2: 0.6, 50: 0.8}), step_seconds=(0.13, 0.14, 0.135)),
    ]
    return ablation_of(variants, suite, baseline="flow_matching")


def report_of(ablation: Ablation) -> ExperimentReport:
    return ablation_report(ablation, BUDGET.as_json(), published_ablations())


def test_seeds_are_pooled_and_their_spread_is_kept(two_seeds: Ablation) -> None:
    """The score of two trainings is their mean, over the images of both, with each seed's own value beside it."""
    score = two_seeds.scores["self_e"][0]
    low, high = (value or 0.0 for value in score.by_seed)

    assert score.overall.value == pytest.approx((low + high) / 2)
    assert (score.overall.n, score.overall.n_clusters) == (480, 240)
    assert score.seed_deviation == pytest.approx(abs(high - low) / math.sqrt(2))


def test_differences_are_paired_and_adjusted_over_the_table(two_seeds: Ablation) -> None:
    """The gain at two steps is shown; equal outcomes at fifty are no difference; the baseline has none to itself."""
    few, many = two_seeds.scores["self_e"]

    assert few.against is not None
    assert few.against.n == 480
    assert few.p_adjusted == pytest.approx(2 * (few.against.p or 0.0))
    assert many.against is not None
    assert many.against.delta == 0.0
    assert all(score.against is None for score in two_seeds.scores["flow_matching"])


def test_step_times_are_relative_to_the_baseline(two_seeds: Ablation) -> None:
    """The ratio of mean step times has the error that the scatter of both gives it."""
    ratio = two_seeds.step_times["self_e"]

    assert ratio is not None
    assert ratio.value == pytest.approx(1.35)
    assert two_seeds.step_times["flow_matching"] == Ratio(value=1.0, se=0.0, n=(3, 3))
    relative = (0.005 / 0.135 / math.sqrt(3), 0.01 / 0.1 / math.sqrt(3))  # by hand from the stretches above
    assert ratio.se == pytest.approx(1.35 * math.hypot(*relative))
    assert time_ratio([], [0.1]) is None
    alone = time_ratio([0.2], [0.1, 0.1])
    assert alone is not None
    assert (alone.value, alone.se) == (2.0, None)


def test_without_the_baseline_nothing_is_relative(make_run: MakeRun, suite: Suite) -> None:
    """Where flow matching was not trained there are no differences and no relative times, and no table of them."""
    ablation = ablation_of([variant("imm", [make_run({2: 0.5})])], suite, baseline="flow_matching")
    report = report_of(ablation)

    assert ablation.baseline is None
    assert ablation.step_times == {"imm": None}
    assert not any(table.title.startswith("Difference") for table in report.tables)
    assert json.loads(json.dumps(report.document))["variants"][0]["relative_step_time"] is None


def test_every_format_tells_budget_intervals_and_what_is_published(two_seeds: Ablation) -> None:
    """Terminal and markdown hold the scores, the paper's rows apart with a dagger, and the warm start; CSV has every score."""
    report = report_of(two_seeds)
    console = Console(file=io.StringIO(), width=80)
    print_report(report, console)
    shown = " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]
    lines = list(csv.DictReader(io.StringIO(report_csv(report))))

    for text in (shown, report_markdown(report)):
        assert "on another scale; not ranked with ours" in text
        assert "the first 10 of them flow matching for all" in text
        assert "IMM 0.5B" in text
        assert "for these 2 trainings of each variant" in text
    assert [line["variant"] for line in lines] == ["flow_matching"] * 2 + ["self_e"] * 2
    assert all(line["ci_low"] and line["n"] == "480" for line in lines)


def test_the_published_rows_are_those_of_table_2() -> None:
    """Six rows as printed; the first number of flow matching is 0.2523 (arXiv 2512.22374v1, Table 2)."""
    rows = {(row.model, row.iterations): row for row in published_ablations()}

    assert len(rows) == 6
    assert rows["Flow Matching 0.5B", 300_000].overall[2] == 0.2523


def test_too_few_prompts_and_trainings_are_said(make_run: MakeRun, suite: Suite) -> None:
    """One prompt a task, one training and one logged stretch are each named as too few."""
    few = make_run({2: 0.5}, prompt_ids=tuple(range(0, 240, 40)))
    notes = " ".join(
        report_of(
            ablation_of(
                [variant("flow_matching", [few], step_seconds=(0.1,))], suite, baseline="flow_matching"
            )
        ).notes
    )

    for said in ("PARTIAL", "fewer than two prompts", "One training of each", "fewer than two logged"):
        assert said in notes


def measured(make_measures: MakeMeasures, fid: float, **changes: Any) -> tuple[Measure, ...]:
    """Of one training at 2 and 50 steps."""
    sets = {"fid": {2: 4 * fid, 50: fid}, "coverage": {2: 0.4, 50: 0.8}, "recall": {2: 0.5, 50: 0.5}}
    return make_measures(sets=sets, images=1, **changes).measures


def test_the_other_metrics_stand_beside_geneval_for_each_training(
    make_run: MakeRun, make_measures: MakeMeasures, suite: Suite
) -> None:
    """FID and coverage have tables with a line for each training; the document and the CSV have every metric."""
    runs = [make_run({2: 0.3, 50: 0.8}, images=1, seed=seed) for seed in (0, 1)]
    variants = [
        variant("flow_matching", runs, measures=tuple(measured(make_measures, fid) for fid in (1.0, 2.0))),
        variant("imm", runs, measures=(measured(make_measures, 3.0, spread={2: 0.2, 50: 0.1}), ())),
    ]
    report = report_of(ablation_of(variants, suite, baseline="flow_matching"))
    tables = {table.title.split(",")[0].split("°")[0]: table for table in report.tables}
    own = variants[0].measures[1][0].rows[0].overall
    numbers = report.document["variants"][0]["measures"]
    lines = [line for line in csv.DictReader(io.StringIO(report_csv(report))) if line["metric"] != "geneval"]

    assert {"FID", "coverage", "spread"} <= tables.keys()
    assert "recall" not in tables
    assert tables["FID"].title == (
        "FID°, lower is better, ± half of a 95 % interval, each training by itself"
    )
    assert tables["FID"].headings == ("variant", "2 steps", "50 steps")
    assert [row[0] for row in tables["FID"].rows] == [
        *("flow_matching, seed 0", "flow_matching, seed 1"),
        *("imm, seed 0", "imm, seed 1"),
    ]
    assert tables["FID"].rows[1][1] == in_unit(own, "distance")
    assert tables["FID"].rows[3][1:] == ("-", "-")
    assert tables["coverage"].rows[0][2].startswith("80.0 ±")
    assert tables["spread"].rows[0][1:] == ("-", "-")
    assert len(numbers) == 2 * 3 * 2
    assert numbers[6] == {
        "metric": "fid[openmoji-clip]",
        "protocol": variants[0].measures[1][0].protocol_sha256,
        "seed": 1,
        "steps": 2,
        "overall": asdict(own),
    }
    assert len(lines) == 12 + 8
    assert (lines[6]["value"], lines[6]["seed"], lines[6]["delta"]) == (str(own.value), "1", "")
    assert any("against the reference 0f1e2d3c" in note for note in report.notes)


def test_the_baseline_is_whichever_variant_is_named(make_run: MakeRun, suite: Suite) -> None:
    """Against Self-E the difference of flow matching is the one that Self-E has against it, with the other sign."""
    variants = [
        variant("flow_matching", [make_run({2: 0.3})]),
        variant("self_e", [make_run({2: 0.6}, seed=1)]),
    ]
    first, second = (ablation_of(variants, suite, baseline=name) for name in ("flow_matching", "self_e"))
    forth, back = first.scores["self_e"][0].against, second.scores["flow_matching"][0].against

    assert forth is not None
    assert back is not None
    assert back.delta == pytest.approx(-(forth.delta or 0.0))
    assert "Difference to self_e" in report_of(second).tables[1].title
