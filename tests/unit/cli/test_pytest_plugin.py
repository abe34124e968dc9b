from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from selfe_eval.errors import UsageError
from selfe_eval.pytest_plugin import assert_no_regression as no_regression
from selfe_eval.report.gate_policy import Margins, Policy
from tests.repository import ROOT

FinishedRun = Callable[..., Path]
NOTHING_ELSE = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
HEAVY = {"torch", "numpy", "rich", "typer", "selfe_eval.report"}


@pytest.fixture
def before(finished_run: FinishedRun) -> Path:
    return finished_run("before", {2: 0.5})


def test_no_loss_is_nothing(before: Path) -> None:
    """An unchanged run passes, by names or paths."""
    no_regression(before, before)
    no_regression(str(before), str(before), policy=Policy(margins=Margins(delta=0.01)))


def test_a_loss_fails_with_the_table(before: Path, finished_run: FinishedRun) -> None:
    """The failure is the table and the reason, not a traceback."""
    with pytest.raises(pytest.fail.Exception, match="at least") as failed:
        no_regression(finished_run("worse", {2: 0.2}), before)

    assert "FAIL: Worse than the baseline: geneval at 2 steps" in str(failed.value)
    assert failed.value.pytrace is False


def test_what_cannot_be_compared_fails(before: Path, finished_run: FinishedRun) -> None:
    """Another scorer, and a partial run, are failures: never a pass and never a skip."""
    for other in (finished_run("other", {2: 0.5}, weights="8"), finished_run("part", {2: 0.5}, limit=60)):
        with pytest.raises(pytest.fail.Exception, match="NOT COMPARABLE"):
            no_regression(other, before)


def test_the_policy_says_what_inconclusive_does(before: Path, tmp_path: Path) -> None:
    """Skip by default, fail or pass where the policy, a file or an object, says so."""
    sharp = Margins(delta=1e-6)  # a loss of less than an image, which 553 images cannot exclude
    with pytest.raises(pytest.skip.Exception, match="inconclusive: No loss is shown"):
        no_regression(before, before, policy=Policy(margins=sharp))
    path = tmp_path / "gate.toml"
    path.write_text('delta = 1e-6\non_inconclusive = "fail"')
    with pytest.raises(pytest.fail.Exception, match="INCONCLUSIVE"):
        no_regression(before, before, policy=path)
    no_regression(before, before, policy=Policy(margins=sharp, on_inconclusive="pass"))


def test_a_file_that_is_not_there_is_an_error(before: Path, tmp_path: Path) -> None:
    """A wrong name is an error of the test, not a verdict."""
    with pytest.raises(UsageError):
        no_regression(before, tmp_path / "none.json")


def test_the_fixture_is_the_function(before: Path, tmp_path: Path) -> None:
    """In somebody's tests, where every warning is an error, fixture and import are one, and work."""
    (tmp_path / "test_it.py").write_text(
        "from selfe_eval.pytest_plugin import assert_no_regression as imported\n\n"
        "def test_it(assert_no_regression):\n"
        "    assert assert_no_regression is imported\n"
        f"    assert_no_regression({str(before)!r}, {str(before)!r})\n"
    )
    command = ["-W", "error", "-m", "pytest", "-q", "-p", "selfe_eval.pytest_plugin", "-W", "error"]
    done = subprocess.run(
        [sys.executable, *command],
        cwd=tmp_path,
        env=NOTHING_ELSE,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_the_plug_in_loads_nothing_but_itself() -> None:
    """What pytest imports at its start is one small module: no torch, no numpy, none of our reports."""
    program = "import sys, selfe_eval.pytest_plugin; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert HEAVY & set(done.stdout.split()) == set()


def test_pytest_finds_the_plug_in() -> None:
    """The project file names it as an entry point of pytest."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert project["entry-points"]["pytest11"] == {"selfe_eval": no_regression.__module__}
