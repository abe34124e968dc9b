"""The real command, stopped on the way and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fakes import folder_state

PROGRAM = Path(sys.executable).with_name("selfe-eval")
WAIT_SECONDS = 120


def start(checkpoint: Path, folder: Path) -> subprocess.Popen[str]:
    """A run of 480 images in batches of 8: long enough to be stopped on the way."""
    options = ["--steps", "1,3", "--limit", "60", "--batch-size", "8"]
    return subprocess.Popen(
        [PROGRAM, "generate", "--ckpt", checkpoint, "--out", folder, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # A test run that was itself started in the background ignores Ctrl-C, and its children would too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads here
    )


def wait_for_images(folder: Path, number: int) -> None:
    """Return once so many images are recorded."""
    deadline = time.monotonic() + WAIT_SECONDS
    journal = folder / "images.jsonl"
    while time.monotonic() < deadline:
        if journal.exists() and journal.read_bytes().count(b"\n") >= number:
            return
        time.sleep(0.005)
    pytest.fail(f"no {number} images within {WAIT_SECONDS} s")


@pytest.fixture(scope="module")
def whole(random_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, never disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    with start(random_checkpoint, folder) as process:
        assert process.wait(WAIT_SECONDS) == 0
    return folder


@pytest.mark.parametrize("num_images", [8, 133])
def test_kill_9_and_again(random_checkpoint: Path, whole: Path, tmp_path: Path, num_images: int) -> None:
    """Killed with SIGKILL and run again, the command leaves the same images and records as undisturbed."""
    with start(random_checkpoint, tmp_path / "run") as process:
        wait_for_images(tmp_path / "run", num_images)
        process.kill()
    with start(random_checkpoint, tmp_path / "run") as process:
        _, talk = process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == 0
    assert "generate: 0 of" not in talk
    assert folder_state(tmp_path / "run") == folder_state(whole)


def test_control_c_and_again(random_checkpoint: Path, whole: Path, tmp_path: Path) -> None:
    """Ctrl-C ends with 130 and the command to go on with; going on leaves the same images and records."""
    with start(random_checkpoint, tmp_path / "run") as process:
        wait_for_images(tmp_path / "run", 8)
        process.send_signal(signal.SIGINT)
        _, talk = process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == 130
    assert f"Go on with: selfe-eval resume {tmp_path / 'run'}" in talk
    assert "Traceback" not in talk
    with start(random_checkpoint, tmp_path / "run") as process:
        assert process.wait(WAIT_SECONDS) == 0
    assert folder_state(tmp_path / "run") == folder_state(whole)


def test_a_second_process_is_refused(random_checkpoint: Path, tmp_path: Path) -> None:
    """While one process works on a folder, another ends with 2 and leaves it alone."""
    with start(random_checkpoint, tmp_path / "run") as first:
        wait_for_images(tmp_path / "run", 8)
        with start(random_checkpoint, tmp_path / "run") as second:
            _, talk = second.communicate(timeout=WAIT_SECONDS)
        assert second.returncode == 2
        assert "Another process is working on" in talk
        assert first.wait(WAIT_SECONDS) == 0
