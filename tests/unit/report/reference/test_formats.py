"""The report reads the documents that `ablate`, `schedules` and `probe` write, as they write them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from selfe_eval.records import Suite
from selfe_eval.report.ablation import ablation_of, ablation_report
from selfe_eval.report.ablation_variant import TrainedVariant
from selfe_eval.report.cells import in_unit, signed_points
from selfe_eval.report.measures import MeasureSet
from selfe_eval.report.probe import TITLES, ProbeConditions, ProbedCheckpoint, probe_report
from selfe_eval.report.published_ablations import published_ablations
from selfe_eval.report.reference.probing import probe_tables
from selfe_eval.report.reference.questions import answers, answers_table
from selfe_eval.report.reference.results import Results
from selfe_eval.report.reference.sampling import chosen_grids, schedules_table
from selfe_eval.report.reference.variants import variant_tables
from selfe_eval.report.schedules import Cell, schedule_grid, schedules_report
from selfe_eval.report.scored_run import ScoredRun
from selfe_eval.stats.mean import mean_of
from selfe_eval.train.budget import Budget

MakeRun = Callable[..., ScoredRun]
MakeMeasures = Callable[..., MeasureSet]
BUDGET = Budget(num_steps=100, batch_size=8, warm_start_steps=10, num_scenes=64, is_smoke=False)


def results_of(**documents: Mapping[str, Any]) -> Results:
    """Documents that went through a file."""
    read = {stem.replace("__", "-"): json.loads(json.dumps(found)) for stem, found in documents.items()}
    return Results(runs={}, documents=read, made={}, calibration=None, bundled={}, figures=())


def test_an_ablation_is_read_as_it_is_written(
    make_run: MakeRun, make_measures: MakeMeasures, suite: Suite
) -> None:
    """Scores, differences to both baselines, outcomes and the other metrics are those of the program's own tables."""
    measures = make_measures(sets={"fid": {1: 0.3, 2: 0.2}}).measures
    variants = [
        TrainedVariant(
            name=name,
            objective=name,
            seeds=(2,),
            runs=(make_run(curve),),
            measures=(measures,),
            folders=("run",),
            train_seconds=(10.0,),
            step_seconds=(0.1, 0.1),
        )
        for name, curve in (
            ("flow_matching", {1: 0.2, 2: 0.4}),
            ("self_e", {1: 0.3, 2: 0.5}),
            ("self_e-noise", {1: 0.5, 2: 0.7}),
        )
    ]
    documents = {
        base: ablation_report(
            ablation_of(variants, suite, baseline=base), BUDGET.as_json(), published_ablations()
        ).document
        for base in ("flow_matching", "self_e")
    }
    results = results_of(ablation=documents["flow_matching"], ablation__self_e=documents["self_e"])
    tables = variant_tables(results)
    against = ablation_of(variants, suite, baseline="self_e").scores["self_e-noise"][0].against

    assert [table.title.split(":")[0].split(",")[0] for table in tables] == [
        "GenEval",
        "GenEval minus flow_matching",
        "GenEval minus self_e",
        "FID°",
    ]
    assert against is not None
    assert tables[2].rows[1][:2] == ("self_e-noise", f"{signed_points(against)} *")
    assert tables[3].rows[0][1] == in_unit(measures[0].rows[0].overall, "distance")
    assert answers_table(answers(results)).rows[0][4] == "**helps**"


def test_a_sweep_of_schedules_is_read_as_it_is_written(make_run: MakeRun, suite: Suite) -> None:
    """The best cell stands beside the default, and a warp is chosen from the same format."""
    own, warped = Cell(s_schedule="next", eta=1.0), Cell(s_schedule="next", eta=1.0, warp=1.0)
    runs = {own: ("a", make_run({2: 0.3})), warped: ("b", make_run({2: 0.6}))}
    document = schedules_report(schedule_grid(runs, own, suite)).document
    results = results_of(schedules=document, grid__search=document, grid=document)
    table = schedules_table(results)

    assert table is not None
    assert table.rows[0][:3] == ("2", "next", "1")
    assert [(grid.steps, grid.warp) for grid in chosen_grids(results)] == [(2, 1.0)]


def test_a_probe_is_read_as_it_is_written() -> None:
    """The three measures of each checkpoint have the program's own values."""
    mean = mean_of(np.array([0.1, 0.3] * 20))
    one = ProbedCheckpoint(
        label="early",
        reference="early",
        objective="self_e",
        train_steps=10,
        means={measure: {0.2: mean} for measure in TITLES},
    )
    report = probe_report([one], ProbeConditions(teacher="flow-tiny", num_scenes=40, start=None, seed=0))
    tables = probe_tables(results_of(probe=report.document))

    assert [table.rows for table in tables] == [(("early", "10", report.tables[0].rows[0][1]),)] * 3


def test_nothing_is_read_of_nothing() -> None:
    """Without documents there are no tables."""
    assert (variant_tables(results_of()), probe_tables(results_of())) == ([], [])
    assert (schedules_table(results_of()), chosen_grids(results_of())) == (None, [])
