"""Run the pipeline again and again, killed with SIGKILL at one place after the other, and compare.

Started as a program of its own, so that it can fork. A child dies at its n-th rename, sync or write, before
or after it; then the same command is run once more in this process, and every byte of the folder must equal
that of the run that was never disturbed. Prints one JSON line: how many places were tried, and at which of
them something differed.

    python crash_driver.py FOLDER {replace,fsync,write_bytes} {before,after}
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selfe_eval.pipeline.opening import planned_run
from selfe_eval.pipeline.progress import Silence
from tests.fakes import FakeGenerator, FakeScorer, folder_state, run_stages, small_record, small_suite

SUITE = small_suite(1)
RECORD = small_record(SUITE, batch_size=4)


def work(folder: Path) -> None:
    with planned_run(folder, RECORD) as run:
        run_stages(run, SUITE, FakeGenerator, FakeScorer(), Silence())


def deadly(function: Callable[..., Any], fatal_call: int, moment: str) -> Callable[..., Any]:
    """The function, but its ``fatal_call``-th call kills this process."""
    calls = 0

    def call(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == fatal_call and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **named)
        if calls == fatal_call:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return call


def dies_at(folder: Path, place: str, fatal_call: int, moment: str) -> bool:
    """Run in a child that dies at this call; False if it ended without having made so many calls."""
    child = os.fork()
    if child == 0:
        owner: Any = Path if place == "write_bytes" else os
        setattr(owner, place, deadly(getattr(owner, place), fatal_call, moment))
        work(folder)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def main(root: Path, place: str, moment: str) -> None:
    work(root / "whole")
    expected = folder_state(root / "whole")
    differing, fatal_call = [], 1
    while dies_at(root / "killed", place, fatal_call, moment):
        work(root / "killed")
        if folder_state(root / "killed") != expected:
            differing.append(fatal_call)
        shutil.rmtree(root / "killed")
        fatal_call += 1
    print(json.dumps({"tried": fatal_call - 1, "differing": differing}))  # noqa: T201 - its result


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
