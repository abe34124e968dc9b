from __future__ import annotations

import pytest
import typer

from selfe_eval.cli import one_voice
from selfe_eval.cli.one_voice import leave_it_to_the_first, only_the_first_speaks
from selfe_eval.errors import UsageError
from selfe_eval.ranks import ALONE, Ranks, ranks_here


def launch(monkeypatch: pytest.MonkeyPatch, rank: int) -> None:
    """Let this be one of two processes, as torchrun says it."""
    launched = {
        "RANK": rank,
        "WORLD_SIZE": 2,
        "LOCAL_RANK": rank,
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": 1,
    }
    for name, value in launched.items():
        monkeypatch.setenv(name, str(value))


def speak() -> None:
    with only_the_first_speaks():
        typer.echo("data")
        typer.echo("talk", err=True)


def fail() -> None:
    typer.echo("data")
    raise UsageError("only mine")


@pytest.mark.parametrize(("rank", "heard"), [(0, ("data\n", "talk\n")), (1, ("", ""))])
def test_one_of_two_speaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rank: int, heard: tuple[str, str]
) -> None:
    """What the first process prints is there, and what the second prints is not."""
    launch(monkeypatch, rank)
    speak()
    assert capsys.readouterr() == heard


def test_an_error_of_another_process_leaves_and_finds_its_voice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error comes out unchanged, and whoever handles it can print again."""
    launch(monkeypatch, 1)
    monkeypatch.setattr(one_voice, "COURTESY_SECONDS", 0.0)
    with pytest.raises(UsageError, match="only mine") as failure, only_the_first_speaks():
        fail()
    typer.echo(failure.value)
    assert capsys.readouterr().out == "only mine\n"


def test_an_interrupt_leaves_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C reaches every process: none waits for another."""
    launch(monkeypatch, 1)
    monkeypatch.setattr(one_voice, "COURTESY_SECONDS", float("inf"))
    with pytest.raises(KeyboardInterrupt), only_the_first_speaks():
        raise KeyboardInterrupt


def test_work_that_is_not_shared_is_the_first_ones_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second process ends well; the first goes on as the only one, and so waits for nobody."""
    launch(monkeypatch, 1)
    with pytest.raises(typer.Exit) as ended:
        leave_it_to_the_first()
    assert ended.value.exit_code == 0
    launch(monkeypatch, 0)
    assert ranks_here() == Ranks(count=2)
    leave_it_to_the_first()
    assert ranks_here() == ALONE
