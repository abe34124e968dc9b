from __future__ import annotations

import errno
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import typer

from selfe_eval.cli.app import BEGIN_HERE, VERBS, errors_as_exit_codes, load_verb
from selfe_eval.errors import SelfeEvalError, UntrustworthyError, UsageError, VerdictError


def raising(error: BaseException) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_of_the_table_exists_and_explains_itself(verb: str) -> None:
    """Each target is there, has a help text with an example, and reads the environment for each option."""
    loaded = load_verb(verb)
    assert loaded.help
    assert "selfe-eval" in loaded.help
    options = [p for p in loaded.params if p.param_type_name == "option"]
    assert all(str(option.envvar).startswith("SELFE_EVAL_") for option in options)


def test_the_list_of_verbs_loads_none_of_them() -> None:
    """`--help` imports no verb, no torch and no numpy: it must be there at once."""
    code = (
        "import sys; from selfe_eval.cli.app import command\n"
        "try: command()(['--help'], prog_name='selfe-eval')\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'PIL', 'open_clip', 'selfe', 'selfe_eval.cli.geneval'} & "
        "set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for verb in VERBS:
        assert verb in result.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_needs_no_torch(verb: str) -> None:
    """The help of every verb comes without importing torch."""
    code = (
        "import sys; from selfe_eval.cli.app import command\n"
        f"try: command()([{verb!r}, '--help'], prog_name='selfe-eval')\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules and 'selfe' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [
        (SelfeEvalError("a"), 1),
        (UsageError("a"), 2),
        (UntrustworthyError("a"), 3),
        (VerdictError("a", exit_code=10), 10),
        (VerdictError("a", exit_code=11), 11),
    ],
)
def test_our_errors_become_one_paragraph_and_their_exit_code(
    error: SelfeEvalError, exit_code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error that a user can cause is one paragraph on stderr, no traceback, and its own exit code."""
    with pytest.raises(typer.Exit) as ended, errors_as_exit_codes():
        raising(error)()
    assert ended.value.exit_code == exit_code
    assert capsys.readouterr() == ("", "error: a\n")


def test_an_interrupt_prints_the_way_on_and_ends_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C prints what the pipeline says about going on."""
    with pytest.raises(typer.Exit) as ended, errors_as_exit_codes():
        raising(KeyboardInterrupt("Go on with: selfe-eval resume x"))()
    assert ended.value.exit_code == 130
    assert capsys.readouterr().err == "Go on with: selfe-eval resume x\n"


def test_a_file_error_names_the_path(capsys: pytest.CaptureFixture[str]) -> None:
    """A full disk outside a run is still one paragraph with the path (exit 1)."""
    with pytest.raises(typer.Exit) as ended, errors_as_exit_codes():
        raising(OSError(errno.ENOSPC, "No space left on device", "/full/file"))()
    assert ended.value.exit_code == 1
    message = capsys.readouterr().err
    assert "/full/file: No space left on device" in message
    assert message.count("\n") == 1


def test_the_unexpected_keeps_its_traceback() -> None:
    """A bug is not dressed up as a user's mistake."""
    with pytest.raises(ZeroDivisionError), errors_as_exit_codes():
        raising(ZeroDivisionError())()


def test_an_option_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """SELFE_EVAL_<OPTION> stands in for an option that is not given, under the option's own name."""
    monkeypatch.setenv("SELFE_EVAL_JSON", "1")
    context = load_verb("status").make_context("status", ["some-run"])
    assert context.params["as_json"] is True
    monkeypatch.setenv("SELFE_EVAL_IMAGES_PER_PROMPT", "7")
    monkeypatch.setenv("SELFE_EVAL_CKPT", "selfe-tiny")
    params: dict[str, Any] = load_verb("geneval").make_context("geneval", ["--seed", "3"]).params
    assert (params["ckpt"], params["images_per_prompt"], params["seed"]) == ("selfe-tiny", 7, 3)


def run_program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The program in a process of its own; what it has loaded of torch, numpy and verbs is the last line of stderr."""
    code = (
        "import sys\n"
        "from selfe_eval.cli.app import main\n"
        "try: main()\n"
        "finally: print(*sorted({'torch', 'numpy'} & set(sys.modules)), file=sys.stderr)"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "100", **environment},
    )


def test_without_arguments_the_five_commands_come_first() -> None:
    """A stranger sees what to type before the list of all verbs, and the exit code of a missing command."""
    result = run_program()
    shown = result.stdout + result.stderr
    places = [shown.find(command) for command in BEGIN_HERE]

    assert len(BEGIN_HERE) == 5
    assert result.returncode == 2
    assert -1 not in places
    assert places == sorted(places)
    assert max(places) < shown.find("─ Measure")
    assert run_program("--log", "quiet").returncode == 2


def test_the_five_commands_exist() -> None:
    """Each names a verb of the table and only options of that verb."""
    for typed in BEGIN_HERE:
        _, verb, *rest = shlex.split(typed)
        known = {name for parameter in load_verb(verb).params for name in parameter.opts}
        assert {word for word in rest if word.startswith("-")} <= known


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("selfe-eval lead", "leaderboard"),
        ("selfe-eval --l", "--log"),
        ("selfe-eval leaderboard --form", "--format"),
        ("selfe-eval leaderboard --format h", "html"),
        ("selfe-eval nonsense --form", ""),
    ],
)
def test_a_shell_completes_verbs_and_options(line: str, completed: str) -> None:
    """What the shell asks comes without torch, and a line that is wrong already gives nothing but no error."""
    asked = {"_SELFE_EVAL_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    result = run_program(**asked)

    assert (result.returncode, result.stdout.strip()) == (0, completed)
    assert result.stderr.strip() == ""


@pytest.mark.parametrize("option", [["--log", "json"], []])
def test_errors_are_json_lines_where_that_is_asked_for(option: list[str]) -> None:
    """The option and the environment variable do the same; the exit code stays."""
    result = run_program(*option, "suites", "--export", "genevl", SELFE_EVAL_LOG="text" if option else "json")
    event = json.loads(result.stderr.splitlines()[0])

    assert result.returncode == 2
    assert event["stage"] == "error"
    assert event["detail"].startswith("Unknown suite 'genevl'. Did you mean 'geneval'?")


def test_an_unknown_way_of_logging_is_refused() -> None:
    """A misspelt variable of the environment does not pass in silence."""
    result = run_program("suites", SELFE_EVAL_LOG="jsn")

    assert result.returncode == 2
    assert "SELFE_EVAL_LOG" in result.stderr
