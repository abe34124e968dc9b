from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from selfe_eval.pipeline.opening import planned_run
from selfe_eval.pipeline.progress import Silence
from tests.fakes import FakeGenerator, FakeScorer, folder_state, run_stages, small_record, small_suite

ROOT = Path(__file__).resolve().parents[2]
SUITE = small_suite(1)
RECORD = small_record(SUITE, batch_size=4)


def work(folder: Path) -> None:
    with planned_run(folder, RECORD) as run:
        run_stages(run, SUITE, FakeGenerator, FakeScorer(), Silence())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(("place", "at_least"), [("replace", 36), ("fsync", 7), ("write_bytes", 36)])
def test_a_run_killed_anywhere_ends_like_one_that_was_not(
    tmp_path: Path, place: str, at_least: int, moment: str
) -> None:
    """Killed at any rename, sync or write of a file, and run again: nothing lost, doubled or different."""
    result = subprocess.run(
        [sys.executable, str(ROOT / "tests/end_to_end/crash_driver.py"), str(tmp_path), place, moment],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
    )
    outcome = json.loads(result.stdout)
    assert outcome["differing"] == []
    assert outcome["tried"] >= at_least


@pytest.mark.parametrize("journal", ["images.jsonl", "scores/geneval.jsonl"])
def test_a_journal_torn_at_any_byte_of_its_last_lines_is_completed(tmp_path: Path, journal: str) -> None:
    """Wherever in the last two lines a crash stopped, the next run completes the same records.

    Every ninth byte here, through the whole pipeline; every byte in the unit tests of the journal.
    """
    work(tmp_path / "whole")
    expected = folder_state(tmp_path / "whole")
    content = (tmp_path / "whole" / journal).read_bytes()
    last_lines = sum(len(line) for line in content.splitlines(keepends=True)[-2:])
    for length in range(len(content) - last_lines, len(content), 9):
        shutil.copytree(tmp_path / "whole", tmp_path / "torn")
        (tmp_path / "torn" / journal).write_bytes(content[:length])
        work(tmp_path / "torn")
        assert folder_state(tmp_path / "torn") == expected
        shutil.rmtree(tmp_path / "torn")
