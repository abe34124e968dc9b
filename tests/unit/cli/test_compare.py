from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import typer
from typer.testing import CliRunner, Result

from selfe_eval.cli.compare import compare
from selfe_eval.errors import UntrustworthyError, UsageError

FinishedRun = Callable[..., Path]


def invoke(*arguments: str | Path) -> Result:
    """Run the verb alone."""
    app = typer.Typer()
    app.command()(compare)
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"NO_COLOR": "1"})


def test_tables_name_both_runs_and_the_outcome(finished_run: FinishedRun) -> None:
    """The default output names A and B, gives the difference with its interval, and says what follows."""
    a, b = finished_run("flow-tiny", {2: 0.2, 50: 0.6}), finished_run("selfe-tiny", {2: 0.5, 50: 0.9}, seed=1)
    result = invoke(a, b)

    assert result.exit_code == 0
    assert "A: flow-tiny" in result.stdout
    assert "B: selfe-tiny" in result.stdout
    assert "better" in result.stdout
    assert "PASS: A loss of 2.0 pp is excluded at 2, 50 steps." in result.stdout


def test_json_is_one_document(finished_run: FinishedRun) -> None:
    """Stdout is one JSON document; a run compared with itself passes."""
    run = finished_run("a", {2: 0.2, 50: 0.6})
    document = json.loads(invoke(run, run, "--json").stdout)

    assert document["outcome"] == "pass"
    assert [row["steps"] for row in document["metrics"]] == [2, 50]
    assert [row["delta"] for row in document["metrics"]] == [0.0, 0.0]


def test_another_scorer_is_not_comparable(finished_run: FinishedRun) -> None:
    """The document says not_comparable, and the error (exit code 3) says why."""
    result = invoke(finished_run("a", {2: 0.2}), finished_run("b", {2: 0.2}, weights="8"), "--json")

    assert json.loads(result.stdout)["outcome"] == "not_comparable"
    assert isinstance(result.exception, UntrustworthyError)
    assert "scorer" in str(result.exception)


def test_partial_runs_are_barred_unless_asked_for(finished_run: FinishedRun) -> None:
    """A partial run is compared only on request, on the prompts both have, and stamped."""
    whole, part = finished_run("a", {2: 0.2}), finished_run("b", {2: 0.2}, limit=100)

    assert isinstance(invoke(whole, part).exception, UntrustworthyError)
    allowed = invoke(whole, part, "--allow-partial")
    assert allowed.exit_code == 0
    assert "PARTIAL" in allowed.stdout


def test_a_folder_that_is_no_run_is_refused(finished_run: FinishedRun, tmp_path: Path) -> None:
    """The error names the folder."""
    result = invoke(finished_run("a", {2: 0.2}), tmp_path / "nowhere")

    assert isinstance(result.exception, UsageError)
    assert "nowhere" in str(result.exception)


def test_scores_that_are_not_those_of_the_summary_are_refused(finished_run: FinishedRun) -> None:
    """A score journal that lost lines after the summary was written is not compared."""
    run = finished_run("a", {2: 0.2})
    scores = run / "scores" / "geneval.jsonl"
    scores.write_text("".join(scores.read_text().splitlines(keepends=True)[:-1]))
    result = invoke(run, run)

    assert isinstance(result.exception, UntrustworthyError)
    assert "553 scored images at 2 steps" in str(result.exception)
