from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from selfe_eval.cli.baseline import baseline
from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.report.baseline import read_baseline
from selfe_eval.report.run_evidence import read_evidence
from selfe_eval.runs.run import open_run

FinishedRun = Callable[..., Path]


def invoke(*arguments: str | Path) -> Result:
    """Run the verb alone."""
    return CliRunner().invoke(baseline, [str(argument) for argument in arguments], env={"NO_COLOR": "1"})


def promote(run: Path, to: Path, *, why: str = "the first", who: str = "Ada") -> Result:
    return invoke("promote", run, "--to", to, "--why", why, "--who", who)


@pytest.fixture
def run(finished_run: FinishedRun) -> Path:
    return finished_run("selfe-tiny", {2: 0.5, 8: 0.7})


def test_a_run_becomes_a_baseline(run: Path, tmp_path: Path) -> None:
    """The file holds every outcome, who, why and when; folders on the way are made; its name is talk, not data."""
    path = tmp_path / "baselines" / "main.json"
    result = promote(run, path, why=" the\nfirst ")
    made = read_baseline(path)

    assert (result.exit_code, result.stdout) == (0, "")
    assert "main.json" in result.stderr
    assert (made.promotion.who, made.promotion.why) == ("Ada", "the first")
    assert made.promotion.at.endswith("+00:00")
    assert made.evidence.metrics["geneval"].steps == read_evidence(run).metrics["geneval"].steps
    assert path.stat().st_size < 5000  # two step counts of 553 images, one character each


def test_a_baseline_is_replaced_with_its_history(
    run: Path, finished_run: FinishedRun, tmp_path: Path
) -> None:
    """The second promotion names the first one and keeps it in the list that `show` prints."""
    path = tmp_path / "main.json"
    promote(run, path)
    result = promote(finished_run("flow-tiny", {2: 0.6, 8: 0.8}), path, why="better", who="Bob")
    shown = invoke("show", path)

    assert "in the place of" in result.stderr
    assert "flow-tiny on openmoji" in shown.stdout
    assert shown.stdout.index("Bob: better") < shown.stdout.index("Ada: the first")
    assert json.loads(invoke("show", path, "--json").stdout)["history"][0]["why"] == "the first"


def test_a_partial_run_is_no_baseline(finished_run: FinishedRun, tmp_path: Path) -> None:
    """It is refused, and no file is written."""
    result = promote(finished_run("part", {2: 0.5}, limit=100), tmp_path / "main.json")

    assert isinstance(result.exception, UntrustworthyError)
    assert "--allow-partial" not in str(result.exception)
    assert not (tmp_path / "main.json").exists()


def test_an_unfinished_run_is_no_baseline(run: Path, tmp_path: Path) -> None:
    """A run that stopped on its way is refused with the command that goes on."""
    open_run(run).update(status="incomplete")
    result = promote(run, tmp_path / "main.json")

    assert isinstance(result.exception, UntrustworthyError)
    assert "selfe-eval resume" in str(result.exception)


@pytest.mark.parametrize(
    ("name", "why", "words"),
    [("main.toml", "why", "a .json file"), ("main.json", "  ", "--why"), ("main.json", "", "--why")],
)
def test_a_promotion_needs_a_name_and_a_reason(
    run: Path, tmp_path: Path, name: str, why: str, words: str
) -> None:
    """Without a reason, or to a file of another kind, nothing is written."""
    result = promote(run, tmp_path / name, why=why)

    assert isinstance(result.exception, UsageError)
    assert words in str(result.exception)
    assert not (tmp_path / name).exists()


def test_another_file_is_not_overwritten(run: Path, tmp_path: Path) -> None:
    """A JSON file that is no baseline stays as it is."""
    path = tmp_path / "package.json"
    path.write_text("{}")

    assert isinstance(promote(run, path).exception, UntrustworthyError)
    assert path.read_text() == "{}"
