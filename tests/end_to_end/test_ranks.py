"""Several processes that share one job, as torchrun starts them, against one process."""

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

from selfe_eval.resources import checkpoints_dir
from tests.fakes import folder_state

ROOT = Path(__file__).resolve().parents[2]
ALONE = [sys.executable, "-m", "selfe_eval"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
JOB = ["--limit", "12", "--images-per-prompt", "2", "--steps", "1,2", "--batch-size", "4"]
BUNDLED = ("flow-tiny", "openmoji-detector", "openmoji-clip")
WAIT_SECONDS = 300

needs_bundled_weights = pytest.mark.skipif(
    not all((checkpoints_dir() / name / "config.json").is_file() for name in BUNDLED),
    reason="the bundled weights are not in this checkout",
)


def together(count: int) -> list[str]:
    return [*TORCHRUN, str(count), "-m", "selfe_eval"]


def start(program: list[str], *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # A test run that was itself started in the background ignores Ctrl-C, and its children would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )


def run(program: list[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    with start(program, *arguments) as process:
        out, err = process.communicate(timeout=WAIT_SECONDS)
    return process.returncode, out, err


def without_seconds(document: Any) -> Any:
    """A JSON document without what was measured."""
    if isinstance(document, dict):
        return {
            key: without_seconds(value) for key, value in document.items() if not key.startswith("seconds")
        }
    return [without_seconds(value) for value in document] if isinstance(document, list) else document


def journal(path: Path) -> list[dict[str, Any]]:
    """The lines in their order, without what was measured."""
    return [without_seconds(json.loads(line)) for line in path.read_text().splitlines()]


@needs_bundled_weights
def test_two_processes_leave_the_records_of_one(tmp_path: Path) -> None:
    """Images to the bit, both journals line by line, the summary and what is printed: all but the times is equal."""
    job = ["geneval", "--ckpt", "flow-tiny", *JOB, "--json", "--out"]
    exit_code, one_says, err = run(ALONE, *job, tmp_path / "one")
    assert exit_code == 0, err
    exit_code, two_say, err = run(together(2), *job, tmp_path / "two")
    assert exit_code == 0, err

    assert folder_state(tmp_path / "two") == folder_state(tmp_path / "one")
    for name in ("images.jsonl", "scores/geneval.jsonl"):
        assert journal(tmp_path / "two" / name) == journal(tmp_path / "one" / name)
    one, two = (json.loads((tmp_path / name / "summary.json").read_text()) for name in ("one", "two"))
    assert without_seconds(two) == without_seconds(one)
    one, two = (without_seconds({**json.loads(text), "run": None}) for text in (one_says, two_say))
    assert two == one
    files = [
        sorted(str(path.relative_to(tmp_path / name)) for path in (tmp_path / name).rglob("*"))
        for name in ("one", "two")
    ]
    assert files[0] == files[1]
    told = [line.split(":")[0] for line in err.splitlines()]
    assert told == [f"{stage} (process 1 of 2)" for stage in ("generate", "generate", "score", "score")]


def test_processes_killed_at_any_moment_can_be_resumed_by_any_number(tmp_path: Path) -> None:
    """With fakes: 2, 3 and 7 processes work as one; whoever is killed, one process or three complete the run.

    The second process dies before and after each of its records is safe, the first before it deletes each shard.
    """
    places = ["fsync:before:1", "fsync:after:1", "unlink:before:0"]
    result = subprocess.run(
        [sys.executable, str(ROOT / "tests/end_to_end/rank_crash_driver.py"), str(tmp_path), *places],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )
    outcome = json.loads(result.stdout)
    assert outcome["differing"] == []
    for place in places:
        assert outcome[place]["differing"] == []
        assert outcome[place]["with_shards"] >= 2


def test_an_error_that_all_processes_have_is_told_once() -> None:
    """A wrong option ends the job at once; the launcher's own report names the exit code."""
    exit_code, out, err = run(together(2), "geneval", "--ckpt", "no-such-model")
    assert exit_code != 0
    assert out == ""
    assert err.count("no-such-model") == 1
    assert "exitcode  : 2" in err


def test_an_error_of_one_process_is_told_and_ends_the_job(random_checkpoint: Path, tmp_path: Path) -> None:
    """Where only the second process fails, its message is heard and nobody waits for it for ever."""
    job = ["generate", "--ckpt", random_checkpoint, "--out", tmp_path, *JOB]
    exit_code, _, err = run(ALONE, *job)
    assert exit_code == 0, err
    of_the_first, of_the_second = (
        tmp_path / journal(tmp_path / "images.jsonl")[line]["path"] for line in (0, 4)
    )
    of_the_first.unlink()
    of_the_second.unlink()
    of_the_second.mkdir()

    exit_code, _, err = run(together(2), *job)

    assert exit_code != 0
    assert err.count("Is a directory") == 1
    assert "exitcode  : 3" in err
    assert of_the_first.is_file()


def test_control_c_is_told_once_and_two_go_on(random_checkpoint: Path, tmp_path: Path) -> None:
    """Ctrl-C prints the command to go on with once; going on with two processes leaves the images of one."""
    options = ["--steps", "1,3", "--limit", "30", "--batch-size", "4"]
    job = ["generate", "--ckpt", random_checkpoint, *options]
    with start(together(2), *job, "--out", tmp_path / "run") as process:
        shard = tmp_path / "run" / "images.rank-001.jsonl"
        while not (shard.exists() and (tmp_path / "run" / "images.jsonl").exists()):
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode != 0
    assert err.count("Interrupted. Everything written so far is kept") == 1
    assert f"selfe-eval resume {tmp_path / 'run'}" in err
    assert shard.exists()

    for program, name in ((together(2), "run"), (ALONE, "whole")):
        exit_code, _, err = run(program, *job, "--out", tmp_path / name)
        assert exit_code == 0, err
    assert folder_state(tmp_path / "run") == folder_state(tmp_path / "whole")
    assert journal(tmp_path / "run/images.jsonl") == journal(tmp_path / "whole/images.jsonl")
