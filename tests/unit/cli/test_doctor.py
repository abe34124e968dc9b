from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner, Result

from selfe_eval.cli.doctor import doctor
from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.resources import checkpoints_dir
from selfe_eval.score.detectors.openmoji_network import NetworkOptions, OpenmojiNetwork
from selfe_eval.score.judge_weights import write_weights


def invoke(*arguments: str | Path) -> Result:
    """Run the verb alone, on the CPU."""
    app = typer.Typer()
    app.command()(doctor)
    return CliRunner().invoke(app, [*map(str, arguments), "--device", "cpu"], env={"NO_COLOR": "1"})


@pytest.fixture
def random_detector(tmp_path: Path) -> Path:
    """The bundled detector's network with random weights and a true hash."""
    config = json.loads((checkpoints_dir() / "openmoji-detector" / "config.json").read_text())
    del config["files"]
    torch.manual_seed(0)
    network = OpenmojiNetwork(NetworkOptions(**config["network"]))
    write_weights(tmp_path, network.state_dict(), config)
    return tmp_path


def test_the_bundled_judge_is_trusted_and_said_so_in_json() -> None:
    """One document on stdout: every finding with its five fields, none failed, and the conclusion."""
    result = invoke("--detector", "openmoji", "--json")
    document = json.loads(result.stdout)

    assert result.exit_code == 0
    assert document["schema_version"] == 1
    assert document["trusted"] == {"openmoji": {"answer": "yes", "because": "", "metric": "geneval"}}
    assert {tuple(finding) for finding in document["findings"]} == {
        ("area", "name", "status", "found", "advice")
    }
    assert {finding["area"] for finding in document["findings"]} == {"installation", "device", "openmoji"}
    assert all(finding["status"] != "fail" for finding in document["findings"])
    names = [finding["name"] for finding in document["findings"] if finding["area"] == "openmoji"]
    assert names == [
        "weights",
        "color weights",
        "intact scenes",
        "broken scenes",
        "known colors",
        "channel order",
        "same images twice",
        "alone and in a batch",
        "speed",
    ]


def test_another_colour_model_is_trusted_under_its_own_metric(tmp_path: Path) -> None:
    """The bundled model in a folder of the user's own is not the bundled one: the last line says what is reported."""
    shutil.copytree(checkpoints_dir() / "openmoji-clip", tmp_path / "clip")
    result = invoke("--detector", "openmoji", "--color-weights", tmp_path / "clip")

    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "Trusted here: openmoji: yes, as geneval[own-colors]."


def test_a_random_detector_is_exit_code_3_and_marked_without_colour(random_detector: Path) -> None:
    """Weights that load and were never trained fail: the word FAIL, the advice, and "no" for the detector."""
    result = invoke("--detector", "openmoji", "--detector-weights", random_detector)

    assert isinstance(result.exception, UntrustworthyError)
    assert result.exception.exit_code == 3
    lines = result.stdout.splitlines()
    assert any(line.split()[:3] == ["FAIL", "intact", "scenes"] for line in lines)
    assert "-> Reinstall" in result.stdout
    assert "Trusted here: openmoji: no (intact scenes" in result.stdout
    assert "\x1b[" not in result.stdout


def test_a_detector_that_was_asked_for_and_is_not_here_is_exit_code_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Named, it must be tested: without its weights on this disk it fails, with the way to set it up."""
    monkeypatch.setenv("SELFE_EVAL_WEIGHTS", str(tmp_path))
    result = invoke("--detector", "transformers", "--json")
    findings = {finding["name"]: finding for finding in json.loads(result.stdout)["findings"]}

    assert isinstance(result.exception, UntrustworthyError)
    assert findings["official weights"]["status"] == "fail"
    assert findings["official weights"]["found"].startswith("not set up")
    assert "--detector-weights" in findings["official weights"]["advice"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--detector", "opemoji"], "Did you mean 'openmoji'"),
        (["--detector-weights", "/nowhere/x.pth"], "/nowhere/x.pth"),
        (["--detector", "mmdet", "--detector-weights", "/nowhere/x.pth"], "/nowhere/x.pth"),
    ],
)
def test_what_cannot_be_examined_is_a_usage_error(arguments: list[str], message: str) -> None:
    """An unknown detector, and a file that is not there: nothing is examined."""
    result = invoke(*arguments)

    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)
