from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from selfe_eval.cli.app import load_verb
from selfe_eval.cli.compare import compare
from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.pipeline.opening import planned_run
from selfe_eval.pipeline.progress import Silence
from selfe_eval.suites.registry import load_suite
from tests.fakes import FakeGenerator, FakeScorer, run_stages, small_record

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


def test_a_summary_without_its_scores_is_not_enough(finished_run: FinishedRun) -> None:
    """Where the single scores were not kept, the error names the file."""
    run = finished_run("a", {2: 0.2})
    (run / "scores" / "geneval.jsonl").unlink()
    result = invoke(run, run)

    assert isinstance(result.exception, UntrustworthyError)
    assert "geneval.jsonl" in str(result.exception)


@pytest.fixture
def drawn_runs(tmp_path: Path) -> tuple[Path, Path]:
    """Two runs of twelve prompts with pictures, which flip by chance."""
    suite = load_suite("openmoji")
    for seed in (0, 1):
        with planned_run(tmp_path / f"run-{seed}", small_record(suite, limit=12, seed=seed)) as run:
            run_stages(run, suite, FakeGenerator, FakeScorer(threshold=128), Silence())
    return tmp_path / "run-0", tmp_path / "run-1"


def test_flips_are_listed_with_both_pictures(drawn_runs: tuple[Path, Path]) -> None:
    """The document counts flips at each step count and names prompt, task, reason and files of each image."""
    document = json.loads(invoke(*drawn_runs, "--allow-partial", "--json").stdout)

    assert document["paired_by"] == ["prompt"]
    for found in document["flips"]:
        assert found["n"] == 24
        assert found["to_wrong"] + found["to_right"] == len(found["images"]) > 0
        assert all(Path(image[f"path_{side}"]).is_file() for image in found["images"] for side in "ab")


def test_a_sheet_of_flips_is_drawn_where_asked(drawn_runs: tuple[Path, Path], tmp_path: Path) -> None:
    """The sheet lies where it was asked for; stderr says how many pairs are on it and how many are left out."""
    sheet = tmp_path / "flips.png"
    result = invoke(*drawn_runs, "--allow-partial", "--flips", sheet, "--steps", "1", "--num", "2")

    assert result.exit_code == 0
    assert sheet.is_file()
    assert "2 of the " in result.stderr
    assert "are left out (--num)" in result.stderr
    assert str(sheet) not in result.stdout


def test_a_run_compared_with_itself_has_nothing_to_draw(
    drawn_runs: tuple[Path, Path], tmp_path: Path
) -> None:
    """No flips are no error, and no file."""
    sheet = tmp_path / "flips.png"
    result = invoke(drawn_runs[0], drawn_runs[0], "--allow-partial", "--flips", sheet, "--task", "colors")

    assert result.exit_code == 0
    assert "No image of colors at 4 steps flipped" in result.stderr
    assert not sheet.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--steps", "4"), "give --flips FILE.png too"),
        (("--task", "colors"), "give --flips FILE.png too"),
        (("--flips", "flips.jpg"), "ends in .png"),
        (("--flips", "nowhere/flips.png"), "in a folder that is there"),
        (("--flips", "flips.png", "--task", "color"), "colors"),
        (("--flips", "flips.png", "--steps", "3"), "2, 50 steps"),
        (("--metrics", "fid"), "geneval"),
    ],
)
def test_what_cannot_be_shown_is_a_usage_error(
    finished_run: FinishedRun, options: tuple[str, ...], said: str
) -> None:
    """Each says what there is instead."""
    run = finished_run("a", {2: 0.2, 50: 0.6})
    result = invoke(run, run, *options)

    assert isinstance(result.exception, UsageError)
    assert said in str(result.exception)


def test_the_step_counts_of_the_environment_are_not_those_of_a_sheet(
    finished_run: FinishedRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SELFE_EVAL_STEPS and SELFE_EVAL_TASK speak to other verbs; a comparison without a sheet does not read them."""
    run = str(finished_run("a", {2: 0.2}))
    monkeypatch.setenv("SELFE_EVAL_STEPS", "1,2,4")
    monkeypatch.setenv("SELFE_EVAL_TASK", "colors")
    load_verb("compare").main([run, run], standalone_mode=False)

    assert "GenEval" in capsys.readouterr().out


def test_markdown_is_for_job_summaries(finished_run: FinishedRun) -> None:
    """The outcome comes first, then tables of pipes."""
    a, b = finished_run("flow-tiny", {2: 0.2, 50: 0.6}), finished_run("selfe-tiny", {2: 0.5, 50: 0.9}, seed=1)
    lines = invoke(a, b, "--format", "md").stdout.splitlines()

    assert lines[0] == "**PASS**: A loss of 2.0 pp is excluded at 2, 50 steps."
    assert "| metric | steps | A | B | B - A | 95 % interval | p | shown |" in lines
    assert sum(line.startswith("| GenEval |") and line.endswith(" better |") for line in lines) == 2


def test_the_terminal_counts_flips_by_task(finished_run: FinishedRun) -> None:
    """Images that went to wrong and to right stand beside each other, and together they are the difference."""
    a, b = finished_run("flow-tiny", {2: 0.2}), finished_run("selfe-tiny", {2: 0.5}, seed=1)
    result = invoke(a, b)
    (lost, won) = re.findall(r"-(\d+) \+(\d+)", result.stdout)[0]

    assert "right to wrong" in result.stdout
    assert 0 < int(lost) < int(won)
    assert max(map(len, result.stdout.splitlines())) <= 80
