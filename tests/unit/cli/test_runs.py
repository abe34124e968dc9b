from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from selfe_eval.cli.runs import validate
from selfe_eval.errors import UntrustworthyError
from selfe_eval.pipeline.opening import planned_run
from selfe_eval.runs.run import open_run
from selfe_eval.suites.registry import load_suite
from tests.fakes import small_record


@pytest.mark.parametrize(
    ("source", "remedy"),
    [
        ({"source": "checkpoint"}, "are made again by: selfe-eval resume"),
        ({"source": "model", "adapter": "diffusers"}, "are made again by: selfe-eval resume"),
        (
            {"source": "images", "images_dir": "/mine"},
            "come from /mine: what is missing there has to be added",
        ),
    ],
)
def test_the_way_to_a_whole_run_follows_from_who_makes_its_images(
    tmp_path: Path, source: dict[str, Any], remedy: str
) -> None:
    """Images of a checkpoint and of any other model are drawn again; found ones only their maker can add."""
    with planned_run(tmp_path / "run", small_record(load_suite("openmoji"), **source)):
        pass
    app = typer.Typer()
    app.command()(validate)
    result = CliRunner().invoke(app, [str(tmp_path / "run")])

    assert isinstance(result.exception, UntrustworthyError)
    assert remedy in str(result.exception)


def test_validate_says_where_a_run_went_on_after_an_update(tmp_path: Path) -> None:
    """Two releases in one run are no problem, and stand on stderr; with one there is nothing to say."""
    folder, notes = tmp_path / "run", []
    with planned_run(folder, small_record(load_suite("openmoji"))):
        pass
    app = typer.Typer()
    app.command()(validate)
    for attempts in ([], [{"versions": {"torch": "1.0"}}]):
        run = open_run(folder)
        run.update(attempts=(*run.record.attempts, *attempts))
        notes.append(CliRunner().invoke(app, [str(folder)]).stderr)

    assert notes[0] == ""
    assert notes[1].startswith("note: Releases of libraries differ: torch ")
    assert "and 1.0 (run)" in notes[1]
