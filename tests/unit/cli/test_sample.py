from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from selfe_eval.cli.sample import sample
from selfe_eval.errors import UsageError


def invoke(*arguments: str | Path) -> Result:
    """Run the verb alone, on the CPU."""
    app = typer.Typer()
    app.command()(sample)
    return CliRunner().invoke(app, [*map(str, arguments), "--device", "cpu"])


def test_the_grid_has_a_row_for_each_prompt_and_a_column_for_each_step_count(
    random_checkpoint: Path, tmp_path: Path
) -> None:
    """Two prompts at three step counts, enlarged twice, are 3 x 128 by 2 x 128 px; strange words are named."""
    out = tmp_path / "grid.png"
    arguments = ("a photo of a dog", "a photo of a unicorn", "--ckpt", random_checkpoint, "--steps", "1,2,4")
    result = invoke(*arguments, "--scale", "2", "--out", out)

    assert result.stdout == f"{out}\n"
    assert "never seen 'unicorn'" in result.stderr
    with Image.open(out) as grid:
        assert grid.size == (3 * 128, 2 * 128)


def test_options_of_the_sampler_change_the_picture(tmp_path: Path) -> None:
    """Every option reaches the sampler, and the checkpoint's own values, given as options, change nothing."""

    def drawn(*arguments: str) -> bytes:
        out = tmp_path / "grid.png"
        result = invoke("a dog", "--ckpt", "selfe-tiny", "--steps", "3", *arguments, "--out", out)
        assert result.exit_code == 0, result.output
        return out.read_bytes()

    own = drawn()
    assert drawn("--guidance", "2", "--eta", "1", "--noise-rule", "ddpm", "--s-schedule", "next") == own
    assert drawn("--negative-prompt", "", "--guidance-norm", "sample") == own
    for option, value in (
        ("--guidance", "9"),
        ("--guidance-norm", "none"),
        ("--negative-prompt", "red"),
        ("--eta", "0"),
        ("--noise-rule", "heuristic"),
        ("--s-schedule", "0.9,0.5,0.1"),
        ("--warp", "0"),
    ):
        assert drawn(option, value) != own, option


def test_a_size_is_pixels_of_each_picture(random_checkpoint: Path, tmp_path: Path) -> None:
    """--size 32x96 draws pictures 96 wide and 32 high, and says what the checkpoint's own size is."""
    out = tmp_path / "grid.png"
    arguments = ("a dog", "--ckpt", random_checkpoint, "--steps", "1,2", "--scale", "1", "--out", out)
    result = invoke(*arguments, "--size", "32x96")

    assert "own size of random is 64x64 px" in result.stderr
    with Image.open(out) as grid:
        assert grid.size == (2 * 96, 32)
    assert "note" not in invoke(*arguments, "--size", "64x64").stderr


def test_a_damaged_checkpoint_is_refused(random_checkpoint: Path, tmp_path: Path) -> None:
    """Weights that are cut, and a config without sizes, end in our error and leave no picture."""
    folder = Path(shutil.copytree(random_checkpoint, tmp_path / "copy"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "network": {}}))
    out = tmp_path / "grid.png"
    garbled = invoke("a dog", "--ckpt", folder, "--out", out)
    (folder / "model.safetensors").write_bytes(b"cut")
    cut = invoke("a dog", "--ckpt", folder, "--out", out)

    assert isinstance(garbled.exception, UsageError)
    assert isinstance(cut.exception, UsageError)
    assert "is damaged" in str(cut.exception)
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a dog", "--out", "grid.jpg"), "ends in .png"),
        (("a dog", "--out", "nowhere/grid.png"), "in a folder that is there"),
        (("a dog", "--steps", "0"), "--steps '0'"),
        (("a dog", "--s-schedule", "0.5,0"), "but --steps asks for 1, 2, 4, 8, 50. Say --steps 2"),
        (("a dog", "--steps", "2", "--s-schedule", "0.1,0"), "step 1 of 2 goes from t = 1 to 0."),
        (("a dog", "--negative-prompt", "red", "--guidance", "1"), "nothing reads it at --guidance 1"),
        (("a dog", "--size", "64x40"), "--size '64x40': expected height and width"),
        (("a dog", "--size", "64"), "multiples of 16"),
        (("dog " * 25,), "The prompt has 25 tokens, the model reads at most 24"),
    ],
    ids=[
        "no png",
        "no folder",
        "no steps",
        "list",
        "outside",
        "no guidance",
        "odd size",
        "one side",
        "long prompt",
    ],
)
def test_what_cannot_be_drawn_is_a_usage_error(
    random_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    """A wrong file name, folder, step list or prompt is one paragraph that says what was expected."""
    monkeypatch.chdir(tmp_path)
    result = invoke(*arguments, "--ckpt", random_checkpoint)

    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)
    assert list(tmp_path.iterdir()) == []
