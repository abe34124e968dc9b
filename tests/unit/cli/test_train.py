from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from selfe_eval.cli.train import train
from selfe_eval.errors import UsageError
from selfe_eval.train.presets import PRESETS, PresetEntry


def invoke(*arguments: str | Path) -> Result:
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
