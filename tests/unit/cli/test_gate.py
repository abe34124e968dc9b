from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import typer
from typer.testing import CliRunner, Result

from selfe_eval.cli.gate import gate
from selfe_eval.errors import UntrustworthyError, UsageError, VerdictError

FinishedRun = Callable[..., Path]
QUIET = {"NO_COLOR": "1", "GITHUB_ACTIONS": "", "GITHUB_STEP_SUMMARY": ""}


def invoke(baseline: Path, run: Path, *arguments: str | Path, **environment: str) -> Result:
    """Run the verb alone."""
    app = typer.Typer()
    app.command()(gate)
    words = ["--baseline", baseline, "--run", run, *arguments]
    return CliRunner().invoke(app, list(map(str, words)), env={**QUIET, **environment})


@pytest.fixture
def before(finished_run: FinishedRun) -> Path:
    return finished_run("before", {2: 0.5, 8: 0.7})


@pytest.fixture
def worse(finished_run: FinishedRun) -> Path:
    return finished_run("worse", {2: 0.3, 8: 0.7}, seed=1)


@pytest.fixture
def unclear(finished_run: FinishedRun) -> Path:
    """The same quality from another seed: neither a loss nor its absence is shown."""
    return finished_run("unclear", {2: 0.5, 8: 0.7}, seed=3)


def failure(result: Result, kind: type[Exception]) -> Exception:
    assert isinstance(result.exception, kind), result.exception
    return result.exception


def test_the_same_run_passes(before: Path) -> None:
    """Exit code 0, a table and the answer on stdout, nothing on stderr."""
    result = invoke(before, before)

    assert (result.exit_code, result.stderr) == (0, "")
    assert "PASS: A loss of 2.0 pp in geneval is excluded at 2, 8 steps." in result.stdout


def test_a_loss_is_exit_10(before: Path, worse: Path) -> None:
    """The table is shown, and the error says what to do where the loss is meant."""
    result = invoke(before, worse)
    error = failure(result, VerdictError)

    assert getattr(error, "exit_code", None) == 10
    assert "baseline promote" in str(error)
    assert "FAIL: Worse than the baseline: geneval at 2 steps" in result.stdout


def test_inconclusive_is_11_only_where_asked(before: Path, unclear: Path) -> None:
    """By default a warning on stderr, nothing with pass, exit code 11 with fail."""
    warned, silent = invoke(before, unclear), invoke(before, unclear, "--on-inconclusive", "pass")
    failed = invoke(before, unclear, "--on-inconclusive", "fail")

    assert warned.exit_code == 0
    assert "warning: The gate is inconclusive" in warned.stderr
    assert (silent.exit_code, silent.stderr) == (0, "")
    assert getattr(failure(failed, VerdictError), "exit_code", None) == 11


def test_options_beat_the_policy_and_the_policy_the_defaults(
    before: Path, unclear: Path, tmp_path: Path
) -> None:
    """on_inconclusive, delta and tolerance: typed, else of the file, else the defaults."""
    policy = tmp_path / "gate.toml"
    policy.write_text('on_inconclusive = "fail"\ndelta = 0.0001\n')

    assert isinstance(invoke(before, unclear, "--policy", policy).exception, VerdictError)
    assert invoke(before, unclear, "--policy", policy, "--on-inconclusive", "warn").exit_code == 0
    assert (
        "A loss of 90.0 pp in geneval is excluded"
        in invoke(before, unclear, "--policy", policy, "--delta", "0.9").stdout
    )


def test_a_tolerated_loss_is_no_failure(before: Path, worse: Path) -> None:
    """A loss within the tolerance does not fail the primary metric, and without being excluded does not pass it."""
    result = invoke(before, worse, "--tolerance", "0.5", "--json")
    rows = json.loads(result.stdout)["metrics"]

    assert {row["outcome"] for row in rows if row["is_primary"] and row["steps"] == 2} == {"inconclusive"}


@pytest.mark.parametrize(("option", "value"), [("--delta", "0"), ("--tolerance", "-1"), ("--delta", "nan")])
def test_margins_that_make_no_sense_are_refused(before: Path, option: str, value: str) -> None:
    """The error names the option."""
    assert option in str(failure(invoke(before, before, option, value), UsageError))


def test_another_scorer_is_exit_3(before: Path, finished_run: FinishedRun, tmp_path: Path) -> None:
    """A changed detector is not comparable: the document, the XML and the error (exit code 3) say so."""
    changed = finished_run("changed", {2: 0.5, 8: 0.7}, weights="8")
    result = invoke(before, changed, "--json", "--junit", tmp_path / "gate.xml")

    assert json.loads(result.stdout)["outcome"] == "not_comparable"
    assert "scorer" in str(failure(result, UntrustworthyError))
    assert b'errors="1"' in (tmp_path / "gate.xml").read_bytes()


def test_a_partial_run_is_exit_3_with_a_document(before: Path, finished_run: FinishedRun) -> None:
    """What cannot be believed is not comparable, in the document too."""
    result = invoke(before, finished_run("partial", {2: 0.5, 8: 0.7}, limit=100), "--json")

    assert json.loads(result.stdout)["outcome"] == "not_comparable"
    assert "The run is partial" in str(failure(result, UntrustworthyError))
    assert "--allow-partial" not in str(result.exception)


def test_a_missing_step_count_is_exit_3(before: Path, finished_run: FinishedRun) -> None:
    """A run that stopped measuring 8 steps never passes."""
    error = failure(invoke(before, finished_run("short", {2: 0.5})), UntrustworthyError)

    assert "The run lacks geneval at 8 steps." in str(error)


def test_a_slow_drift_is_seen_by_the_pinned_baseline(before: Path, worse: Path, tmp_path: Path) -> None:
    """A run that equals the last baseline fails where it is worse than the pinned one."""
    policy = tmp_path / "gate.toml"
    policy.write_text('pinned = "before"\n')
    result = invoke(worse, worse, "--policy", policy)

    assert str(before) in str(failure(result, VerdictError))
    assert "PASS" in result.stdout
    assert "FAIL" in result.stdout


def test_names_that_are_not_there_are_refused(before: Path, tmp_path: Path) -> None:
    """Baseline, run, policy and the folder of the XML are named."""
    nowhere = tmp_path / "nowhere"
    for result in (
        invoke(nowhere, before),
        invoke(before, nowhere),
        invoke(before, before, "--policy", nowhere),
        invoke(before, before, "--junit", nowhere / "gate.xml"),
    ):
        assert "nowhere" in str(failure(result, UsageError))


def test_github_gets_a_summary_and_annotations(before: Path, worse: Path, tmp_path: Path) -> None:
    """The table is appended to the job's summary, the annotation stands on stderr, stdout stays one document."""
    summary = tmp_path / "summary.md"
    summary.write_text("# before\n")
    result = invoke(before, worse, "--json", GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary))

    assert json.loads(result.stdout)["outcome"] == "fail"
    assert result.stderr.startswith("::error title=selfe-eval gate%3A FAIL::")
    assert summary.read_text().startswith("# before\n### selfe-eval gate: FAIL\n")


@pytest.mark.parametrize("mode", ["quiet", "json"])
def test_annotations_are_said_in_every_mode(before: Path, worse: Path, mode: str) -> None:
    """Who wants quiet logs, or JSON ones, still sees on GitHub that the gate failed."""
    result = invoke(before, worse, GITHUB_ACTIONS="true", SELFE_EVAL_LOG=mode)

    assert any(line.startswith("::error title=selfe-eval gate") for line in result.stderr.splitlines())


def test_the_xml_has_the_answers(before: Path, worse: Path, tmp_path: Path) -> None:
    """--junit writes a file that other tools read, also where the gate fails."""
    invoke(before, worse, "--junit", tmp_path / "gate.xml")
    root = ET.parse(tmp_path / "gate.xml").getroot()  # noqa: S314 - our own file

    assert len(root.findall("testsuite/testcase")) == 14
    assert len(root.findall("testsuite/testcase[@name='overall at 2 steps']/failure")) == 1
