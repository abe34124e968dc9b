"""Rewritten prompts through the installed command: asked once, recorded, never needed again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from selfe_eval.suites.registry import load_suite

PROGRAM = Path(sys.executable).with_name("selfe-eval")
SUITE = load_suite("openmoji")


def run(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """The installed command in a working directory of its own."""
    return subprocess.run(
        [PROGRAM, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture
def rewritten(tmp_path: Path) -> Path:
    """A file of rewritten prompts."""
    file = tmp_path / "long.txt"
    file.write_text("".join(f"{prompt.text} in daylight\n" for prompt in SUITE.prompts))
    return file


def test_a_run_with_rewritten_prompts_goes_on_without_the_file(
    tmp_path: Path, random_checkpoint: Path, rewritten: Path
) -> None:
    """Resume, validate and compare need the run folder alone; its name, summary and images say rewritten."""
    command = ("generate", "--ckpt", random_checkpoint, "--suite", "openmoji", "--prompts", rewritten)
    made = run(*command, "--steps", "1", "--limit", "6", "--images-per-prompt", "1", folder=tmp_path)
    folder = tmp_path / made.stdout.strip()
    assert folder.name.startswith("openmoji-rewritten-random-")
    rewritten.unlink()
    resumed = run("resume", folder, "--json", folder=tmp_path)
    assert json.loads(resumed.stdout)["suite"] == "openmoji[rewritten]", resumed.stderr
    assert run("validate", folder, folder=tmp_path).returncode == 0
    assert run("compare", folder, folder, "--allow-partial", folder=tmp_path).returncode == 0
    metadata = json.loads((folder / "images" / "steps-001" / "00000" / "metadata.jsonl").read_text())
    assert metadata == {**SUITE.prompts[0].metadata(), "prompt": "a photo of a bench in daylight"}


def test_found_images_of_rewritten_prompts(tmp_path: Path, rewritten: Path) -> None:
    """With --prompts, images of rewritten prompts are scored, and the run keeps the prompts."""
    samples = tmp_path / "images" / "00000" / "samples"
    samples.mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(samples / "0000.png")
    metadata = {**SUITE.prompts[0].metadata(), "prompt": "a photo of a bench in daylight"}
    (samples.parent / "metadata.jsonl").write_text(json.dumps(metadata))
    command = ("score", "--images", "images", "--suite", "openmoji", "--prompts", rewritten, "--out", "found")
    scored = run(*command, "--allow-partial", "--json", folder=tmp_path)
    assert scored.returncode == 0, scored.stderr
    assert json.loads(scored.stdout)["suite"] == "openmoji[rewritten]"
    assert (tmp_path / "found" / "prompts.jsonl").read_bytes().count(b"\n") == 553


def test_prompts_that_do_not_fit(tmp_path: Path, random_checkpoint: Path, rewritten: Path) -> None:
    """A file of other length is refused before anything is made."""
    rewritten.write_text("a photo of a dog\n")
    for command in (("geneval", "--ckpt", random_checkpoint), ("score", "--images", ".")):
        result = run(*command, "--prompts", rewritten, folder=tmp_path)
        assert result.returncode == 2
        assert "holds 1 lines" in result.stderr
    assert list(tmp_path.iterdir()) == [rewritten]
