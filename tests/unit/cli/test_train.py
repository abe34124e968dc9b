from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from selfe_eval.cli.train import train
from selfe_eval.errors import UsageError
from selfe_eval.resources import checkpoints_dir
from selfe_eval.train.options import TrainOptions
from selfe_eval.train.presets import PRESETS, PresetEntry, folder_name


def invoke(*arguments: str | int | Path) -> Result:
    """Run the verb alone, on the CPU."""
    app = typer.Typer()
    app.command()(train)
    return CliRunner().invoke(app, [*map(str, arguments), "--device", "cpu"])


def test_the_list_names_every_preset_and_trains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each preset has a line, and no folder is made."""
    monkeypatch.chdir(tmp_path)
    lines = invoke("list").stdout.splitlines()

    assert [line.split()[0] for line in lines] == list(PRESETS)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_trained_is_a_usage_error(tmp_path: Path) -> None:
    """An unknown preset gets the list of names, and a file is no folder to train in."""
    (tmp_path / "file").touch()
    unknown, no_folder = invoke("selfe-tyni"), invoke("selfe-tiny", "--out", tmp_path / "file")

    assert isinstance(unknown.exception, UsageError)
    assert "Did you mean 'selfe-tiny'?" in str(unknown.exception)
    assert isinstance(no_folder.exception, UsageError)


def test_an_interrupt_names_the_way_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while training prints the very command that goes on."""
    entry = PresetEntry(function="tests.fakes:interrupted", about="stopped at once")
    monkeypatch.setitem(PRESETS, "stopped", entry)
    with pytest.raises(KeyboardInterrupt, match=r"Go on with: selfe-eval train stopped --out '.*my runs'"):
        train("stopped", out=tmp_path / "my runs", device="cpu", threads=0)


def test_a_preset_refuses_options_that_mean_nothing_to_it(tmp_path: Path) -> None:
    """A bundled preset has a fixed recipe: options are refused by name, before any computation."""
    refused = invoke("selfe-tiny", "--objective", "imm", "--smoke", "--out", tmp_path / "runs")

    assert isinstance(refused.exception, UsageError)
    assert "does not take --objective, --smoke" in str(refused.exception)
    assert not (tmp_path / "runs").exists()


def test_a_zero_is_a_choice(tmp_path: Path) -> None:
    """--seed 0 is refused where the recipe has a seed of its own, and is part of the command that goes on."""
    refused = invoke("selfe-tiny", "--seed", "0", "--out", tmp_path / "runs")

    assert "does not take --seed" in str(refused.exception)
    assert TrainOptions(seed=0).arguments() == ["--seed", "0"]


def test_a_seed_that_torch_cannot_hold_is_refused(tmp_path: Path) -> None:
    """More than 63 bits are a usage error of the option, not an overflow later on."""
    refused = invoke("tiny", "--smoke", "--seed", 2**64, "--out", tmp_path / "runs")

    assert refused.exit_code == 2
    assert not (tmp_path / "runs").exists()


def test_the_folder_is_named_by_preset_and_objective() -> None:
    """Two objectives of one preset do not share a folder, and no text of an option can leave it."""
    assert folder_name("tiny", TrainOptions()) == "tiny"
    assert (
        folder_name("tiny", TrainOptions(objective="self_e:target=eq16,k=0.5"))
        == "tiny-self_e-target-eq16-k-0.5"
    )
    assert folder_name("tiny", TrainOptions(objective="../x", smoke=True)) == "tiny-..-x-smoke"
    assert folder_name("tiny", TrainOptions(name="mine", smoke=True)) == "mine"
    with pytest.raises(UsageError, match=r"--name \.\./x"):
        TrainOptions(name="../x")


def test_the_chosen_options_are_the_arguments_that_choose_them() -> None:
    """Arguments of an interrupted command name what was chosen and nothing else."""
    options = TrainOptions(objective="imm", iterations=7, smoke=True)

    assert options.arguments() == ["--objective", "imm", "--iterations", "7", "--smoke"]


@pytest.mark.skipif(
    not (checkpoints_dir() / "selfe-tiny" / "config.json").is_file(),
    reason="the bundled weights are not in this checkout",
)
def test_checkpoints_on_the_way_are_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    """With --keep-every 2 a training of three steps leaves those of steps 2 and 3, the newest one twice."""
    options = ("--smoke", "--iterations", "3", "--batch-size", "2", "--keep-every", "2", "--name", "kept")
    result = invoke("tiny", "--out", tmp_path, *options)
    steps = {
        path.parent.name: json.loads(path.read_text())["training"]["steps"]
        for path in (tmp_path / "kept").glob("*/config.json")
    }

    assert result.exit_code == 0, result.output
    assert steps == {"checkpoint-000002": 2, "checkpoint-000003": 3, "checkpoint": 3}
