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
        (("dog " * 25,), "The prompt has 25 tokens, the model reads at most 24"),
    ],
    ids=["no png", "no folder", "no steps", "long prompt"],
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
