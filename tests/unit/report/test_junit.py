from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

import pytest

from selfe_eval.report.gate import Decision, decide, not_comparable
from selfe_eval.report.gate_policy import OnInconclusive, Policy
from selfe_eval.report.junit import junit_xml
from tests.unit.report.made_evidence import made_run

DEFAULT = Policy()


def suites(decisions: Sequence[Decision], on_inconclusive: OnInconclusive = "warn") -> list[ET.Element]:
    root = ET.fromstring(junit_xml(decisions, on_inconclusive))  # noqa: S314 - our own bytes
    assert root.tag == "testsuites"
    return list(root)


def counts(suite: ET.Element) -> tuple[int, ...]:
    return tuple(int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped"))


def test_one_case_for_each_metric_task_and_step_count() -> None:
    """A pass is a bare case; GenEval has seven at each step count, another metric one."""
    run = made_run({2: 0.5, 8: 0.7}, {2: 24.0, 8: 27.0})
    (suite,) = suites([decide(run, run, DEFAULT, against="main.json")])
    cases = [(case.attrib["classname"], case.attrib["name"]) for case in suite]

    assert suite.attrib["name"] == "against main.json"
    assert counts(suite) == (16, 0, 0, 0)
    assert len(set(cases)) == 16
    assert cases[0] == ("selfe-eval.gate.geneval", "overall at 2 steps")
    assert ("selfe-eval.gate.clip-score[openmoji-clip]", "overall at 8 steps") in cases
    assert [list(case) for case in suite] == [[]] * 16


def test_a_loss_is_a_failure_with_its_numbers() -> None:
    """The message says what was lost, with bounds and p."""
    decision = decide(made_run({2: 0.5, 8: 0.7}), made_run({2: 0.3, 8: 0.7}), DEFAULT)
    (suite,) = suites([decision])
    (failure,) = suite.findall("testcase[@name='overall at 2 steps']/failure")

    assert failure.attrib["message"].startswith("geneval at 2 steps: fail. Gain -")
    assert "a loss of 2.0 pp is to be excluded" in failure.attrib["message"]
    assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure")) > 0


@pytest.mark.parametrize(
    ("on_inconclusive", "tag"), [("warn", "skipped"), ("pass", "skipped"), ("fail", "failure")]
)
def test_inconclusive_is_skipped_unless_it_counts(on_inconclusive: OnInconclusive, tag: str) -> None:
    """What cannot be told is skipped with the reason; a failure where the policy says so, of the primary metric alone."""
    decision = decide(made_run({2: 0.5}), made_run({2: 0.5}, seed=4), DEFAULT)
    (suite,) = suites([decision], on_inconclusive)

    assert len(suite.findall(f"testcase[@name='overall at 2 steps']/{tag}")) == 1
    assert {child.tag for case in suite for child in case if case.attrib["name"][:7] != "overall"} == {
        "skipped"
    }


def test_what_cannot_be_compared_is_an_error() -> None:
    """One case with the reason, never an empty file that looks green; a second baseline has a suite of its own."""
    run = made_run({2: 0.5})
    first, second = suites([decide(run, run, DEFAULT), not_comparable("pinned.json", "The run lacks fid.")])

    assert counts(first) == (7, 0, 0, 0)
    assert counts(second) == (1, 0, 1, 0)
    assert [error.attrib["message"] for error in second.iter("error")] == ["The run lacks fid."]


def test_no_name_breaks_the_file() -> None:
    """Markup stays text, and characters that XML cannot hold are replaced."""
    (suite,) = suites([not_comparable('<a & "b">\x00\x1b[31m\ud800', "1 < 2 ]]> \x08")])

    assert suite.attrib["name"] == 'against <a & "b">��[31m�'
    assert next(suite.iter("error")).attrib["message"] == "1 < 2 ]]> �"


def test_equal_answers_give_equal_files() -> None:
    """The file holds no time."""
    run = made_run({2: 0.5})

    assert junit_xml([decide(run, run, DEFAULT)], "warn") == junit_xml([decide(run, run, DEFAULT)], "warn")
