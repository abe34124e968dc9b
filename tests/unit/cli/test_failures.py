from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from selfe_eval.cli.failures import failures
from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.pipeline.opening import planned_run
from selfe_eval.pipeline.progress import Silence
from selfe_eval.runs.measures import MeasureOptions
from selfe_eval.suites.registry import load_suite
from tests.fakes import FakeGenerator, FakeScorer, run_stages, small_record


def scored_run(folder: Path, *, threshold: int) -> Path:
    suite = load_suite("openmoji")
    with planned_run(folder, small_record(suite, limit=12)) as run:
        run_stages(run, suite, FakeGenerator, FakeScorer(threshold=threshold), Silence())
    return folder


def invoke(*arguments: str | Path) -> Result:
    """Run the verb alone."""
    app = typer.Typer()
    app.command()(failures)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_path_of_the_sheet_is_all_of_stdout(tmp_path: Path) -> None:
    """A script can open what is printed; how many failed is said to the person."""
    run = scored_run(tmp_path / "run", threshold=0)
    result = invoke(run, "--steps", "1", "--num", "5")

    assert result.exit_code == 0
    assert result.stdout == f"{run / 'failures-steps-001.png'}\n"
    assert result.stderr == "24 of the 24 scored images at 1 step failed; 5 are drawn.\n"
    assert (run / "failures-steps-001.png").is_file()


def test_it_is_said_where_nothing_failed(tmp_path: Path) -> None:
    """No failures are no error: stdout stays empty and stderr says so."""
    result = invoke(scored_run(tmp_path / "run", threshold=256), "--task", "colors")

    assert (result.exit_code, result.stdout) == (0, "")
    assert (
        result.stderr
        == "None of the 4 scored images of colors at 4 steps failed; there is nothing to draw.\n"
    )


def test_a_run_without_geneval_has_no_failures(tmp_path: Path) -> None:
    """No other metric calls an image wrong; the way to GenEval is said, since `resume` would never measure it."""
    record = replace(small_record(load_suite("openmoji")), measures=MeasureOptions(metrics=("fid",)))
    with planned_run(tmp_path / "run", record):
        pass
    result = invoke(tmp_path / "run")

    assert isinstance(result.exception, UntrustworthyError)
    assert "it measures fid" in str(result.exception)
    assert "resume" not in str(result.exception)


@pytest.mark.parametrize("out", ["sheet.jpg", "nowhere/sheet.png"])
def test_a_file_that_cannot_be_written_is_refused_first(tmp_path: Path, out: str) -> None:
    """Another ending than .png, or a folder that is not there, is a usage error."""
    result = invoke(tmp_path, "--out", tmp_path / out)

    assert isinstance(result.exception, UsageError)
    assert "ends in .png, in a folder that is there" in str(result.exception)
