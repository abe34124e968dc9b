"""What tests of the gate share: the installed command, and runs whose outcomes are changed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from selfe_eval.resources import checkpoints_dir
from selfe_eval.runs.journal import read_journal, rewrite_journal

PROGRAM: list[str | Path] = [Path(sys.executable).with_name("selfe-eval")]
BUNDLED = ("selfe-tiny", "openmoji-detector", "openmoji-clip")
WAIT_SECONDS = 900


def bundled_are_there() -> bool:
    """Whether the weights that these tests draw and judge with are in this checkout."""
    return all((checkpoints_dir() / name / "config.json").is_file() for name in BUNDLED)


def run(*arguments: str | Path, folder: Path, **environment: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    done = subprocess.run(
        [*PROGRAM, *arguments],
        cwd=folder,
        env={
            **os.environ,
            "NO_COLOR": "1",
            "COLUMNS": "100",
            "GITHUB_ACTIONS": "",
            "GITHUB_STEP_SUMMARY": "",
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def gate(
    folder: Path, baseline: str, candidate: str, *options: str | Path, **environment: str
) -> tuple[int, str, str]:
    return run("gate", "--baseline", baseline, "--run", candidate, *options, folder=folder, **environment)


def change_scores(run_folder: Path, change: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    """Rewrite every record of GenEval's scores, and compute the numbers again."""
    journal = run_folder / "scores" / "geneval.jsonl"
    rewrite_journal(journal, [{**record, **change(record)} for record in read_journal(journal)])
    exit_code, _, err = run("summarise", run_folder.name, folder=run_folder.parent)
    assert exit_code == 0, err
