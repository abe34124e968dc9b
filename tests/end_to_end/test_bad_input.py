"""Bad input to the installed command: one paragraph on stderr, the exit code of the manual, nothing lost."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("selfe-eval")


def run(
    *arguments: str | Path, folder: Path, max_file_bytes: int | None = None
) -> subprocess.CompletedProcess[str]:
    """The installed command in a working directory of its own."""

    def limit_files() -> None:
        if max_file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (max_file_bytes, max_file_bytes))

    return subprocess.run(
        [PROGRAM, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", "OMP_NUM_THREADS": "1"},
        preexec_fn=limit_files,
    )


def assert_one_paragraph(result: subprocess.CompletedProcess[str], exit_code: int, *words: str) -> None:
    """Exit code, one line that begins with error:, no traceback, nothing on stdout, and the words."""
    assert result.returncode == exit_code, result.stderr
    assert result.stdout == ""
    paragraph = result.stderr.splitlines()[-1]
    assert paragraph.startswith("error: ")
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in paragraph


def test_an_unknown_checkpoint(tmp_path: Path) -> None:
    """An unknown name says which names there are, and nothing is made."""
    result = run("geneval", "--ckpt", "selfe-tyni", folder=tmp_path)
    assert_one_paragraph(result, 2, "Unknown checkpoint 'selfe-tyni'", "Available: ")
    assert list(tmp_path.iterdir()) == []


def test_a_corrupt_safetensors_file(tmp_path: Path, random_checkpoint: Path) -> None:
    """A cut file is found before anything is computed; both hashes are named."""
    shutil.copytree(random_checkpoint, tmp_path / "cut")
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    result = run("geneval", "--ckpt", "cut", folder=tmp_path)
    assert_one_paragraph(
        result, 2, "model.safetensors is damaged", "expected SHA-256", "found", "(1000 bytes)"
    )
    assert not (tmp_path / "results").exists()


def test_a_step_list_that_is_none(tmp_path: Path, random_checkpoint: Path) -> None:
    """Each bad item of the list is named."""
    result = run("geneval", "--ckpt", random_checkpoint, "--steps", "0,-1,x", folder=tmp_path)
    assert_one_paragraph(result, 2, "'0', '-1', 'x'", "1,2,4,8,50")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", [("--detector", "openmojo"), ("--suite", "genevl"), ("--eta", "2")])
def test_a_wrong_option(tmp_path: Path, random_checkpoint: Path, option: tuple[str, str]) -> None:
    """Names and numbers are checked before the first image."""
    assert_one_paragraph(run("geneval", "--ckpt", random_checkpoint, *option, folder=tmp_path), 2, option[1])
    assert list(tmp_path.iterdir()) == []


def test_an_output_folder_that_cannot_be(tmp_path: Path, random_checkpoint: Path) -> None:
    """A path below a file cannot become a folder; the error says so and that nothing was computed."""
    (tmp_path / "file").touch()
    for verb in ("geneval", "generate"):
        result = run(verb, "--ckpt", random_checkpoint, "--out", "file/run", folder=tmp_path)
        assert_one_paragraph(result, 2, "file/run cannot be written: Not a directory", "--out")


def test_an_output_folder_is_looked_at_before_the_judge(tmp_path: Path) -> None:
    """Where neither the folder nor the judge's weights will do, the folder is told: weights take time to load."""
    (tmp_path / "file").touch()
    samples = tmp_path / "images" / "00000" / "samples"
    samples.mkdir(parents=True)
    (samples / "0000.png").touch()
    options = ("--suite", "openmoji", "--allow-partial", "--detector-weights", "images", "--out", "file/run")
    result = run("score", "--images", "images", *options, folder=tmp_path)
    assert result.returncode == 2
    assert "file/run cannot be written: Not a directory" in result.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into read-only folders")
def test_a_read_only_output_folder(tmp_path: Path, random_checkpoint: Path) -> None:
    """A folder without write permission is refused before anything is computed."""
    (tmp_path / "closed").mkdir(mode=0o555)
    result = run("generate", "--ckpt", random_checkpoint, "--out", "closed/run", folder=tmp_path)
    assert_one_paragraph(result, 2, "closed/run cannot be written: Permission denied")


def test_a_disk_that_fills_up_on_the_way(tmp_path: Path, random_checkpoint: Path) -> None:
    """Where writing fails in the middle of a run, what is whole is kept; the printed command completes it.

    The full disk is played by a limit on the size of files, which the journal of images hits.
    """
    command = ("generate", "--ckpt", random_checkpoint, "--steps", "1,2", "--limit", "60", "--out", "run")
    result = run(*command, "--batch-size", "40", folder=tmp_path, max_file_bytes=60_000)
    assert_one_paragraph(result, 3, "stopped before it was complete", "images.jsonl", "selfe-eval resume run")
    num_kept = (tmp_path / "run" / "images.jsonl").read_text().count("\n")
    assert num_kept in range(40, 480, 40)
    assert '"status": "incomplete"' in (tmp_path / "run" / "run.json").read_text()
    assert run(*command, "--batch-size", "40", folder=tmp_path).returncode == 0
    assert (tmp_path / "run" / "images.jsonl").read_text().count("\n") == 480


def test_another_configuration_in_the_same_folder(tmp_path: Path, random_checkpoint: Path) -> None:
    """One folder never mixes two runs: what differs is named, and the first run is untouched."""
    command = ("generate", "--ckpt", random_checkpoint, "--steps", "1", "--limit", "6", "--out", "run")
    assert run(*command, folder=tmp_path).returncode == 0
    before = (tmp_path / "run" / "run.json").read_bytes()
    result = run(*command, "--seed", "1", folder=tmp_path)
    assert_one_paragraph(result, 2, "differs in seed: 0, now 1", "--out")
    assert (tmp_path / "run" / "run.json").read_bytes() == before


def test_an_image_folder_with_missing_and_jpeg_images(tmp_path: Path, random_checkpoint: Path) -> None:
    """What the reference skips in silence is named line by line, and nothing is scored (exit 3)."""
    command = ("generate", "--ckpt", random_checkpoint, "--steps", "1", "--images-per-prompt", "1")
    assert run(*command, "--out", "run", folder=tmp_path).returncode == 0
    images = tmp_path / "run" / "images" / "steps-001"
    shutil.rmtree(images / "00017")
    (images / "00004" / "samples" / "0000.png").rename(images / "00004" / "samples" / "0000.jpg")
    result = run("score", "--images", images, "--suite", "openmoji", folder=tmp_path)
    assert_one_paragraph(result, 3, "2 of 553 images are missing", "--allow-partial")
    assert "missing: no image of this prompt (2): 00004, 00017\n" in result.stderr
    assert "JPEG: the reference ignores it (1): 00004/samples/0000.jpg\n" in result.stderr
    assert not (tmp_path / "results").exists()


def test_a_step_count_that_the_folders_contradict(tmp_path: Path) -> None:
    """Where folders are named after their step counts, another one is an error and never silently passed over."""
    samples = tmp_path / "images" / "steps-008" / "00000" / "samples"
    samples.mkdir(parents=True)
    (samples / "0000.png").touch()
    options = ("--suite", "openmoji", "--allow-partial", "--steps", "4")
    result = run("score", "--images", "images", *options, folder=tmp_path)
    assert_one_paragraph(result, 2, "--steps 4", "say 8 themselves")


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    """resume, status, validate, score and summarise say what a run folder is."""
    for verb in ("resume", "status", "validate", "score", "summarise"):
        assert_one_paragraph(run(verb, "nowhere", folder=tmp_path), 2, "nowhere is not a run folder")


def test_a_run_folder_runs_no_code(tmp_path: Path, random_checkpoint: Path) -> None:
    """A detector's configuration is code: what a run folder names is not run until the command line names it."""
    (tmp_path / "own.py").write_text("open('ran', 'w').close()\nmodel = dict()\n")
    (tmp_path / "own.pth").touch()
    judge = ("--detector", "mmdet", "--detector-config", "own.py", "--detector-weights", "own.pth")
    command = ("generate", "--ckpt", random_checkpoint, "--steps", "1", "--limit", "6", "--out", "run")
    assert run(*command, *judge, folder=tmp_path).returncode == 0
    for verb in ("resume", "score"):
        assert_one_paragraph(run(verb, "run", folder=tmp_path), 2, "own.py, which is Python code")
    assert not (tmp_path / "ran").exists()


def test_an_unfinished_run_is_not_valid(tmp_path: Path, random_checkpoint: Path) -> None:
    """Validate lists the problems on stdout and ends with 3; status ends with 0 and says how to go on."""
    command = ("generate", "--ckpt", random_checkpoint, "--steps", "1", "--limit", "6", "--out", "run")
    assert run(*command, folder=tmp_path).returncode == 0
    result = run("validate", "run", folder=tmp_path)
    assert result.returncode == 3
    assert "image 0 of prompt 0 at 1 steps: has no score\n" in result.stdout
    assert "selfe-eval resume run" in result.stderr
    result = run("status", "run", folder=tmp_path)
    assert result.returncode == 0
    assert "Go on with: selfe-eval resume run" in result.stdout


def test_an_unknown_command_and_a_missing_option(tmp_path: Path) -> None:
    """A mistyped verb gets a suggestion, a missing option is named; both are usage errors."""
    assert_one_paragraph(run("genevl", folder=tmp_path), 2, "Did you mean 'geneval'?")
    result = run("geneval", folder=tmp_path)
    assert result.returncode == 2
    assert "--ckpt" in result.stderr


def test_options_that_a_run_would_ignore(tmp_path: Path) -> None:
    """`score` takes a run or images: an option that would not count is an error, and so is neither."""
    for option in (("--detector", "b"), ("--steps", "4"), ("--images-per-prompt", "2"), ("--json",)):
        assert_one_paragraph(run("score", "a", *option, folder=tmp_path), 2, f"{option[0]} cannot be given")
    assert_one_paragraph(run("score", folder=tmp_path), 2, "--images DIR")


def test_the_environment_is_not_an_answer_to_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options set for every command are passed over by a run that does not take them."""
    monkeypatch.setenv("SELFE_EVAL_STEPS", "4")
    assert_one_paragraph(run("score", "a", folder=tmp_path), 2, "a is not a run folder")


def test_files_of_the_judge_that_are_not_there(tmp_path: Path) -> None:
    """A weight file with a typo is named before anything is looked at."""
    for option in ("--detector-weights", "--detector-config", "--color-weights"):
        result = run("geneval", "--ckpt", "flow-tiny", option, "none.pth", folder=tmp_path)
        assert_one_paragraph(result, 2, f"{option} none.pth: expected a file or folder")
