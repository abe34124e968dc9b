"""Models that are no checkpoint of Self-E, by the installed command: a module of one's own, and a diffusers folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from selfe_eval.resources import checkpoints_dir
from selfe_eval.runs.run import open_run
from tests.repository import ROOT

PROGRAM = Path(sys.executable).with_name("selfe-eval")
PAGE = (ROOT / "selfe_eval" / "generate" / "README.md").read_text(encoding="utf-8")
SMALL = ("--suite", "openmoji", "--limit", "6", "--images-per-prompt", "1", "--out", "run")

pytestmark = pytest.mark.skipif(
    not (checkpoints_dir() / "openmoji-detector" / "config.json").is_file(),
    reason="the bundled weights are not in this checkout",
)


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The installed command in a working directory of its own."""
    return subprocess.run(
        [PROGRAM, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", "OMP_NUM_THREADS": "1"},
    )


def test_the_page_s_function_is_measured_and_goes_on_only_by_name(tmp_path: Path) -> None:
    """The short example draws; resume would run its code and refuses; a command that names it goes on to a row."""
    (tmp_path / "my_model.py").write_text(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0])
    asked = ("--model", "my_model:draw", "--steps", "1,4", *SMALL)
    drawn = run("generate", *asked, folder=tmp_path)
    assert drawn.returncode == 0, drawn.stderr
    lost = next((tmp_path / "run" / "images").rglob("*.png"))
    content = lost.read_bytes()
    lost.unlink()
    resumed = run("resume", "run", folder=tmp_path)
    assert resumed.returncode == 2
    assert "with --model my_model:draw" in resumed.stderr
    assert not lost.exists()

    measured = run("geneval", *asked, "--json", folder=tmp_path)
    assert measured.returncode == 0, measured.stderr
    assert lost.read_bytes() == content
    rows = json.loads(measured.stdout)["rows"]
    assert [(row["model"], row["nfe"], row["overall"]["n"]) for row in rows] == [
        ("my_model:draw", None, 6)
    ] * 2


def test_a_folder_of_diffusers_is_drawn(tmp_path: Path, tiny_pipeline: Callable[[str], Path]) -> None:
    """A pipeline of random weights draws every prompt, under the name that the command gives it, its evaluations counted."""
    command = (
        "generate",
        "--model",
        f"diffusers:{tiny_pipeline('stable-diffusion')}",
        "--name",
        "theirs",
        "--steps",
        "2",
    )
    drawn = run(*command, *SMALL, folder=tmp_path)
    assert drawn.returncode == 0, drawn.stderr
    record = open_run(tmp_path / "run").record
    assert (record.spec.model, record.spec.adapter, record.nfe) == ("theirs", "diffusers", {2: 6})
    assert len(list((tmp_path / "run" / "images").rglob("*.png"))) == 6
