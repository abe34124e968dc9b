from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from selfe_eval.metrics import METRICS, Measured
from selfe_eval.pipeline.generate import generate
from selfe_eval.pipeline.instruments import Instruments
from selfe_eval.pipeline.measure import measure, score_again, summarise_all
from selfe_eval.pipeline.opening import existing_run, planned_run
from selfe_eval.pipeline.progress import Silence
from selfe_eval.report.libraries import libraries_of
from selfe_eval.runs.measures import MeasureOptions
from selfe_eval.runs.run import open_run
from selfe_eval.suites.registry import load_suite
from tests.fakes import FakeGenerator, FakeScorer, MeanColor, small_record

SUITE = load_suite("openmoji")
SPREAD = Instruments(
    metrics=("spread[mean-color]",),
    measured=(Measured(metric=METRICS["spread"], extractor="mean-color"),),
    extractors={"mean-color": MeanColor()},
)
GENEVAL = Instruments(metrics=("geneval",), measured=(), scorer=FakeScorer())


def run_with(folder: Path, instruments: Instruments) -> str:
    """Measure a run of images that are there, as a command does; returns what its record says then."""
    record = small_record(SUITE, limit=12)
    with planned_run(folder, replace(record, measures=MeasureOptions(metrics=instruments.metrics))) as run:
        measure(run, instruments, Silence())
    return open_run(folder).record.status


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run whose images are drawn, and of which nothing is measured."""
    record = small_record(SUITE, limit=12)
    with planned_run(tmp_path, replace(record, measures=MeasureOptions(metrics=()))) as run:
        generate(run, SUITE, FakeGenerator, Silence())
    return tmp_path


def test_another_metric_of_a_complete_run_leaves_it_complete(folder: Path) -> None:
    """GenEval first and spread later, by another command: all is there, whoever came last."""
    assert run_with(folder, GENEVAL) == "complete"
    assert run_with(folder, SPREAD) == "complete"
    assert run_with(folder, GENEVAL) == "complete"


def test_a_run_is_not_complete_by_another_metric_than_it_was_asked_for(folder: Path) -> None:
    """Where GenEval was asked for and not measured, spread does not make the run complete."""
    with planned_run(folder, small_record(SUITE, limit=12)):
        pass
    assert run_with(folder, SPREAD) == "started"


def test_a_run_remembers_the_weights_that_its_numbers_were_computed_with(folder: Path) -> None:
    """Named once and then looked for again: whoever goes on with the run uses what was used last, not what was named."""
    for path in (folder / "mine.pth", None):
        run_with(folder, replace(SPREAD, weights={"mean-color": path}))
        expected = {} if path is None else {"mean-color": str(path)}
        assert open_run(folder).record.measures.weights == expected


def test_a_run_without_geneval_is_complete_once_its_stages_are_run_one_by_one(folder: Path) -> None:
    """`score` and `summarise` end where `resume` ends."""
    run_with(folder, SPREAD)
    for path in folder.rglob("*.safetensors"):
        path.unlink()
    with existing_run(folder) as run:
        score_again(run, SPREAD, Silence())
    assert open_run(folder).record.status == "started"
    with existing_run(folder) as run:
        made = summarise_all(run)
    assert made.summary is None
    assert made.run.record.status == open_run(folder).record.status == "complete"


def test_a_metric_from_features_of_another_release_names_both(folder: Path) -> None:
    """After an update a metric may follow from kept features, and the run says which releases had a hand in it."""
    run_with(folder, SPREAD)
    run = open_run(folder)
    assert [attempt["stage"] for attempt in run.record.attempts] == ["plan", "generate", "score"]

    before = [{**one, "versions": {**one["versions"], "torch": "1.0"}} for one in run.record.attempts]
    run.update(attempts=tuple(before))
    for _ in range(2):
        run_with(folder, SPREAD)

    again = open_run(folder).record.attempts
    assert [attempt["stage"] for attempt in again] == ["plan", "generate", "score", "measure"]
    assert libraries_of(again)["torch"] == ("1.0", libraries_of(again[3:])["torch"][0])
