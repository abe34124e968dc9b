from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from selfe_eval.cli.ablate import ablate
from selfe_eval.errors import UsageError
from selfe_eval.pipeline.ablate import VARIANTS
from selfe_eval.resources import checkpoints_dir

BUNDLED = ("selfe-tiny", "openmoji-detector", "openmoji-clip")


def invoke(*arguments: str | Path) -> Result:
    """Run the verb alone, on the CPU."""
    app = typer.Typer()
    app.command()(ablate)
    return CliRunner().invoke(app, [*map(str, arguments), "--device", "cpu"])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--variants", "self_e,flow_machting"), "Did you mean 'flow_matching'?"),
        (("--variants", "imm,imm"), "repeated: imm"),
        (("--steps", "2,2"), "repeated: 2"),
        (("--seeds", "0,-1"), "found '-1'"),
        (("--seeds", "1,01"), "repeated: 1"),
        (("--smoke", "--warm-start", "20"), "fewer than the 20 steps"),
        (("--smoke", "--variants", "imm", "--batch-size", "6"), "a multiple of 4"),
    ],
)
def test_what_cannot_be_ablated_is_a_usage_error(
    arguments: tuple[str, ...], complaint: str, tmp_path: Path
) -> None:
    """Unknown variants, bad lists and a budget that does not fit are named before anything is made."""
    result = invoke("--out", tmp_path / "out", *arguments)

    assert isinstance(result.exception, UsageError)
    assert complaint in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    """A file, and a folder with other files in it, are refused and stay as they were."""
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    for name, complaint in (("file", "is a file"), ("full", "is not empty")):
        result = invoke("--out", tmp_path / name, "--smoke", "--variants", "self_e")

        assert isinstance(result.exception, UsageError)
        assert complaint in str(result.exception)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_the_list_shows_every_variant_and_makes_nothing(tmp_path: Path) -> None:
    """Each variant has a line with its objective."""
    lines = invoke("--out", tmp_path / "out", "--variants", "list").stdout.splitlines()

    assert [line.split()[0] for line in lines] == list(VARIANTS)
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(
    not all((checkpoints_dir() / name / "config.json").is_file() for name in BUNDLED),
    reason="the bundled weights are not in this checkout",
)
def test_an_ablation_goes_from_training_to_table_and_goes_on(tmp_path: Path) -> None:
    """Two variants are trained and scored; the same command again does nothing twice; other settings are refused."""
    out = tmp_path / "ablation"
    command: tuple[str | Path, ...] = (
        "--out",
        out,
        "--variants",
        "flow_matching,self_e",
        "--smoke",
        "--iterations",
        "3",
    )
    command = (*command, "--limit", "6", "--images-per-prompt", "1", "--steps", "1,2", "--json")
    first = invoke(*command)
    document = json.loads(first.stdout.splitlines()[0])
    weights = sorted(out.glob("training/*/checkpoint/model.safetensors"))
    times = [path.stat().st_mtime_ns for path in weights]
    again = invoke(*command)

    assert [one["variant"] for one in document["variants"]] == ["flow_matching", "self_e"]
    assert [row["steps"] for row in document["variants"][1]["rows"]] == [1, 2]
    assert {row["overall"]["n"] for one in document["variants"] for row in one["rows"]} == {6}
    assert all(one["train_seconds"][0] > 0 for one in document["variants"])
    assert sorted(path.name for path in (out / "runs").iterdir()) == ["flow_matching-seed-0", "self_e-seed-0"]
    assert json.loads((out / "ablate.json").read_text())["budget"]["images_seen"] == 24
    assert again.stdout.splitlines()[0] == first.stdout.splitlines()[0]
    assert [path.stat().st_mtime_ns for path in weights] == times

    other = invoke(*command, "--iterations", "4")
    assert isinstance(other.exception, UsageError)
    assert "budget" in str(other.exception)
