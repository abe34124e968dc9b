from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from selfe_eval.errors import UntrustworthyError
from selfe_eval.pipeline.geneval import suite_of
from selfe_eval.pipeline.opening import existing_run, planned_run
from selfe_eval.pipeline.own_prompts import write_prompts
from selfe_eval.records import Suite
from selfe_eval.runs.run import open_run
from selfe_eval.suites.registry import load_suite, metadata_lines
from selfe_eval.suites.rewritten import rewritten_suite
from tests.fakes import small_record

GENEVAL = load_suite("geneval")


@pytest.fixture
def rewritten(tmp_path: Path) -> Suite:
    file = tmp_path / "long.txt"
    file.write_text("\n".join(f"{prompt.text}, seen from afar" for prompt in GENEVAL.prompts))
    suite = rewritten_suite(GENEVAL, file)
    file.unlink()
    return suite


def plan(folder: Path, suite: Suite) -> None:
    with planned_run(folder, small_record(suite)) as run:
        write_prompts(run, suite)


def test_a_run_keeps_its_rewritten_prompts(tmp_path: Path, rewritten: Suite) -> None:
    """What was planned with a file is opened without it, as metadata lines that other tools read."""
    plan(tmp_path / "run", rewritten)
    assert suite_of(open_run(tmp_path / "run")) == rewritten
    assert (tmp_path / "run" / "prompts.jsonl").read_bytes() == metadata_lines(rewritten)


def test_official_prompts_leave_no_file(tmp_path: Path) -> None:
    """A run with the official wording has nothing of its own to keep."""
    plan(tmp_path / "run", GENEVAL)
    assert not (tmp_path / "run" / "prompts.jsonl").exists()
    assert suite_of(open_run(tmp_path / "run")) is GENEVAL


def test_a_run_without_its_prompts_is_refused(tmp_path: Path, rewritten: Suite) -> None:
    """Where the file is gone or broken, the error says which command writes it again; that command does."""
    file = tmp_path / "run" / "prompts.jsonl"
    plan(tmp_path / "run", rewritten)
    file.unlink()
    with (
        existing_run(tmp_path / "run") as run,
        pytest.raises(UntrustworthyError, match=r"No such file.* Repeat the command .* --prompts"),
    ):
        suite_of(run)
    plan(tmp_path / "run", rewritten)
    assert suite_of(open_run(tmp_path / "run")) == rewritten


def test_another_wording_is_refused(tmp_path: Path, rewritten: Suite) -> None:
    """One prompt changed afterwards is seen by the hash in the run's spec."""
    plan(tmp_path / "run", rewritten)
    first = replace(rewritten.prompts[0], text="something else")
    lines = [json.dumps(prompt.metadata()) for prompt in (first, *rewritten.prompts[1:])]
    (tmp_path / "run" / "prompts.jsonl").write_text("\n".join(lines))
    with pytest.raises(UntrustworthyError, match="or the run's own file of rewritten prompts"):
        suite_of(open_run(tmp_path / "run"))
