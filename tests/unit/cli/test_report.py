from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from selfe_eval.cli.report import report
from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.pipeline.opening import planned_run
from selfe_eval.pipeline.progress import Silence
from selfe_eval.suites.registry import load_suite
from tests.fakes import FakeGenerator, FakeScorer, run_stages, small_record


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A partial run: 12 prompts, two images of each at 1 and 4 steps."""
    suite = load_suite("openmoji")
    with planned_run(tmp_path / "run", small_record(suite, limit=12)) as opened:
        run_stages(opened, suite, FakeGenerator, FakeScorer(), Silence())
    return tmp_path / "run"


def invoke(*arguments: str | Path) -> Result:
    """Run the verb alone."""
    app = typer.Typer()
    app.command()(report)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_path_of_the_page_is_all_of_stdout(run: Path, here: Path) -> None:
    """A script can open what is printed; counts and size are said to the person, and no flag is asked for."""
    result = invoke(run)

    assert result.exit_code == 0
    assert result.stdout == "report.html\n"
    assert "1 run, 48 images.\n0." in result.stderr
    assert (here / "report.html").read_bytes().startswith(b"<!doctype html>")


def test_nothing_but_the_page_is_written(run: Path, tmp_path: Path) -> None:
    """The run folder stays as it was, and no temporary file is left."""
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    result = invoke(run, "--out", tmp_path / "a.html", "--no-images")

    assert result.exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "run"]


@pytest.mark.parametrize("out", ["page.pdf", "nowhere/page.html", "folder.html"])
def test_a_file_that_cannot_be_written_is_refused_first(tmp_path: Path, out: str) -> None:
    """Another ending, a folder that is not there, or one in the file's place is a usage error."""
    (tmp_path / "folder.html").mkdir()
    result = invoke(tmp_path, "--out", tmp_path / out)

    assert isinstance(result.exception, UsageError)
    assert "ends in .html, in a folder that is there" in str(result.exception)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    """What holds no run is a usage error."""
    result = invoke(tmp_path, "--out", tmp_path / "a.html")

    assert isinstance(result.exception, UsageError)
    assert not (tmp_path / "a.html").exists()


def test_a_run_without_numbers_is_refused(run: Path, tmp_path: Path) -> None:
    """A run that was stopped before it was scored is named, with what to do."""
    (run / "summary.json").unlink()
    result = invoke(run, "--out", tmp_path / "a.html")

    assert isinstance(result.exception, UntrustworthyError)
    assert "selfe-eval resume" in str(result.exception)
