"""The main job with the bundled checkpoint and judge, by the installed command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from selfe_eval.records import TASKS
from selfe_eval.resources import checkpoints_dir
from tests.fakes import folder_state

PROGRAM: list[str | Path] = [Path(sys.executable).with_name("selfe-eval")]
JOB = ["geneval", "--ckpt", "selfe-tiny", "--steps", "1,2", "--limit", "60", "--images-per-prompt", "1"]
BUNDLED = ("selfe-tiny", "openmoji-detector", "openmoji-clip")
ESTIMATE = {"value", "se", "ci", "n", "n_unscored", "n_clusters"}
WAIT_SECONDS = 300

pytestmark = pytest.mark.skipif(
    not all((checkpoints_dir() / name / "config.json").is_file() for name in BUNDLED),
    reason="the bundled weights are not in this checkout",
)


def start(*arguments: str | Path, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "100"},
    )


def run(*arguments: str | Path, folder: Path) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    with start(*arguments, folder=folder) as process:
        out, err = process.communicate(timeout=WAIT_SECONDS)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A working directory where the job has been done, and the JSON document it printed."""
    folder = tmp_path_factory.mktemp("main-job")
    exit_code, out, err = run(*JOB, "--json", folder=folder)
    assert exit_code == 0, err
    return folder, out


def run_folder(folder: Path) -> Path:
    """The only run in a working directory."""
    (found,) = (folder / "results" / "runs").iterdir()
    return found


def test_the_json_document_is_the_one_of_the_manual(finished: tuple[Path, str]) -> None:
    """Stdout is one JSON document with the keys that scripts rely on."""
    folder, out = finished
    document: dict[str, Any] = json.loads(out)
    assert folder / document["run"] == run_folder(folder)
    assert (document["schema_version"], document["suite"], document["partial"]) == (1, "openmoji", True)
    assert [row["steps"] for row in document["rows"]] == [1, 2]
    for row in document["rows"]:
        assert (row["model"], row["metric"], row["source"]) == ("selfe-tiny", "geneval", "measured")
        assert set(row["overall"]) == ESTIMATE
        assert (row["overall"]["n"], row["overall"]["n_unscored"]) == (60, 0)
        assert set(row["tasks"]) == set(TASKS)
        assert row["seconds_per_image"] > 0
    assert document["verdict"]["outcome"] in {"monotone", "violated", "inconclusive"}


def test_the_same_command_again_changes_nothing(finished: tuple[Path, str]) -> None:
    """The second run finds everything done: the same document, and not one byte of the folder is written."""
    folder, out = finished
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert run(*JOB, "--json", folder=folder)[:2] == (0, out)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_finished_run_is_valid_and_shown(finished: tuple[Path, str]) -> None:
    """Validate finds nothing; the leaderboard on stdout names the model and says that it is partial."""
    folder, _ = finished
    assert run("validate", run_folder(folder), folder=folder)[0] == 0
    exit_code, out, err = run("summarise", run_folder(folder), folder=folder)
    assert exit_code == 0, err
    assert "selfe-tiny PARTIAL" in out


def test_the_images_score_the_same_when_somebody_else_brings_them(finished: tuple[Path, str]) -> None:
    """A run's images, taken as images that anybody made, get the same scores."""
    folder, out = finished
    images = str(run_folder(folder) / "images")
    command = ["score", "--images", images, "--suite", "openmoji", "--allow-partial", "--out", "found"]
    exit_code, again, err = run(*command, "--json", folder=folder)
    assert exit_code == 0, err
    values = [[row["overall"]["value"] for row in json.loads(text)["rows"]] for text in (out, again)]
    assert values[0] == values[1]


def test_a_verdict_can_be_made_to_count(finished: tuple[Path, str]) -> None:
    """With 10 prompts a task no verdict is possible: --fail-on inconclusive ends with 11, violated with 0."""
    folder, _ = finished
    assert run(*JOB, "--fail-on", "inconclusive", folder=folder)[0] == 11
    assert run(*JOB, "--fail-on", "violated", folder=folder)[0] == 0


def test_kill_9_while_scoring_and_resume(finished: tuple[Path, str], tmp_path: Path) -> None:
    """Killed while it scores, the job is completed by resume, with the images and scores of the whole run."""
    with start(*JOB, folder=tmp_path) as process:
        deadline = time.monotonic() + WAIT_SECONDS
        while not list(tmp_path.glob("results/runs/*/scores/geneval.jsonl")):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    exit_code, _, err = run("resume", run_folder(tmp_path), folder=tmp_path)
    assert exit_code == 0, err
    assert folder_state(run_folder(tmp_path)) == folder_state(run_folder(finished[0]))
