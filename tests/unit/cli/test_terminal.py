from __future__ import annotations

import io
import json
from datetime import datetime

import pytest
from rich.console import Console

from selfe_eval.cli import terminal
from selfe_eval.cli.terminal import (
    LOG_VARIABLE,
    BarProgress,
    LineProgress,
    PhaseDisplay,
    complain,
    stage_progress,
    talk,
)
from selfe_eval.pipeline.progress import Progress


def work(progress: Progress, *, fails: bool = False) -> None:
    with progress.stage("generate", total=10, done=4) as advance:
        advance(3, "2 steps")
        if fails:
            raise KeyboardInterrupt
        advance(3, "4 steps")


def test_without_a_terminal_there_are_plain_lines_on_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logs get lines without control characters, and stdout stays free for data."""
    monkeypatch.setattr(terminal, "LINE_SECONDS", 0.0)
    progress = stage_progress()
    assert isinstance(progress, LineProgress)
    work(progress)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[0] == "generate: 4 of 10 images are there"
    assert lines[1].startswith("generate: 7 of 10 (2 steps, ")
    assert lines[-1].startswith("generate: 10 of 10 in ")
    assert "\x1b" not in err


def test_lines_are_rare(capsys: pytest.CaptureFixture[str]) -> None:
    """Between the first and the last line there is one every few seconds, not one a batch."""
    work(LineProgress())
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_terminal_gets_bars() -> None:
    """On a terminal each stage has a bar that ends where the work ended."""
    stream = io.StringIO()
    work(BarProgress(Console(file=stream, force_terminal=True, width=100)))
    assert "generate" in stream.getvalue()
    assert "10/10" in stream.getvalue()


def test_an_interrupted_stage_leaves_the_terminal_in_order() -> None:
    """After Ctrl-C the cursor that the bar had hidden is shown again."""
    stream = io.StringIO()
    with pytest.raises(KeyboardInterrupt):
        work(BarProgress(Console(file=stream, force_terminal=True, width=100)), fails=True)
    assert stream.getvalue().rfind("\x1b[?25h") > stream.getvalue().rfind("\x1b[?25l")


def test_an_interrupted_stage_says_how_far_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal the last line names what is kept."""
    with pytest.raises(KeyboardInterrupt):
        work(LineProgress(), fails=True)
    assert capsys.readouterr().err.splitlines()[-1].startswith("generate: 7 of 10 in ")


def everything_that_is_said() -> None:
    """A word, a stage, a training phase and an error."""
    talk("run: here")
    work(stage_progress())
    with PhaseDisplay() as display:
        display.show("train", 5, 10, {"loss": 0.5})
    complain("error: no room")


def test_a_cluster_gets_json_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each line of stderr is one object with the same five keys; stdout stays free for data."""
    monkeypatch.setenv(LOG_VARIABLE, "json")
    monkeypatch.setattr(terminal, "LINE_SECONDS", 0.0)
    everything_that_is_said()
    out, err = capsys.readouterr()
    events = [json.loads(line) for line in err.splitlines()]

    assert out == ""
    assert {tuple(event) for event in events} == {("time", "stage", "done", "total", "detail")}
    assert [(event["stage"], event["done"], event["total"], event["detail"]) for event in events] == [
        ("message", None, None, "run: here"),
        ("generate", 4, 10, "begin"),
        ("generate", 7, 10, "2 steps"),
        ("generate", 10, 10, "4 steps"),
        ("generate", 10, 10, "end"),
        ("train", 5, 10, "loss 0.5"),
        ("error", None, None, "no room"),
    ]
    assert all(datetime.fromisoformat(event["time"]).tzinfo for event in events)


def test_json_lines_are_rare_and_tell_of_an_interrupt(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between begin and end there is one every few seconds; the last one says how far it came."""
    monkeypatch.setenv(LOG_VARIABLE, "json")
    with pytest.raises(KeyboardInterrupt):
        work(stage_progress(), fails=True)
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    assert [(event["done"], event["detail"]) for event in events] == [(4, "begin"), (7, "end")]


def test_quiet_says_errors_alone(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but what went wrong."""
    monkeypatch.setenv(LOG_VARIABLE, "quiet")
    everything_that_is_said()

    assert capsys.readouterr() == ("", "error: no room\n")


def test_a_message_of_several_lines_is_one_json_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Line ends and quotes of a message do not end the object."""
    monkeypatch.setenv(LOG_VARIABLE, "json")
    talk('one "two"\nthree')

    assert json.loads(capsys.readouterr().err)["detail"] == 'one "two"\nthree'
