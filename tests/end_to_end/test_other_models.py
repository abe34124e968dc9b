"""Models that are no checkpoint of Self-E, by the installed command: a module of one's own, and a diffusers folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from selfe_eval.resources import checkpoints_dir
from selfe_eval.runs.images import read_images
from selfe_eval.runs.run import open_run
from tests.fakes import folder_state
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
    """The short example gets a row with an unknown NFE; resume would run its code and refuses; the command goes on."""
    (tmp_path / "my_model.py").write_text(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0])
    command = ("geneval", "--model", "my_model:draw", "--steps", "1,4", *SMALL, "--json")
    measured = run(*command, folder=tmp_path)
    assert measured.returncode == 0, measured.stderr
    rows = json.loads(measured.stdout)["rows"]
    assert [(row["model"], row["nfe"], row["overall"]["n"]) for row in rows] == [
        ("my_model:draw", None, 6)
    ] * 2
    before = folder_state(tmp_path / "run")

    next((tmp_path / "run" / "images").rglob("*.png")).unlink()
    resumed = run("resume", "run", folder=tmp_path)
    assert resumed.returncode == 2
    assert "with --model my_model:draw" in resumed.stderr

    assert run(*command, folder=tmp_path).stdout == measured.stdout
    assert folder_state(tmp_path / "run") == before


def test_images_of_another_size_cost_one_batch(tmp_path: Path) -> None:
    """The bundled detector takes 64 px: a module that draws 32 px is refused before an image is kept."""
    (tmp_path / "small.py").write_text(
        "import numpy as np\n"
        "def draw(prompts, seeds, num_steps): return np.zeros((len(prompts), 32, 32, 3), np.uint8)\n"
    )
    refused = run("geneval", "--model", "small:draw", "--steps", "1,4", *SMALL, folder=tmp_path)
    assert refused.returncode == 2
    assert "64 x 64 px" in refused.stderr
    assert "32 x 32 px" in refused.stderr
    assert read_images(open_run(tmp_path / "run").images_file) == {}


def test_a_folder_of_diffusers_is_measured(tmp_path: Path, tiny_pipeline: Callable[[str], Path]) -> None:
    """A pipeline of random weights gets a row with its evaluations, under the name that the command gives it."""
    folder = Path(shutil.copytree(tiny_pipeline("stable-diffusion"), tmp_path / "tiny"))
    config = folder / "unet" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "sample_size": 32}))
    command = ("geneval", "--model", "diffusers:tiny", "--name", "theirs", "--steps", "2", *SMALL, "--json")
    measured = run(*command, folder=tmp_path)
    assert measured.returncode == 0, measured.stderr
    (row,) = json.loads(measured.stdout)["rows"]
    assert (row["model"], row["overall"]["n"]) == ("theirs", 6)
    assert row["nfe"] == open_run(tmp_path / "run").record.nfe[2] >= 2 * 2
