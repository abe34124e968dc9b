"""The gate's answer as JUnit XML: one test case for each metric, task and step count.

A loss is a failure, what is inconclusive is skipped with the reason, or a failure where the policy says so, and where
nothing can be compared there is one case with an error. The file holds no time and no host: equal answers give equal
files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from selfe_eval.report.gate import Decision, GateRow, row_name
from selfe_eval.report.gate_policy import OnInconclusive
from selfe_eval.report.sentences import amount

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML 1.0 document may hold, escaped or not."""


def junit_xml(decisions: Sequence[Decision], on_inconclusive: OnInconclusive) -> bytes:
    """The content of the file, one test suite for each baseline.

    Args:
        decisions: Against one or more baselines.
        on_inconclusive: Of the policy.
    """
    root = ET.Element("testsuites", name="selfe-eval gate")
    for decision in decisions:
        suite = ET.SubElement(root, "testsuite", name=_text(f"against {decision.against}"))
        if decision.outcome == "not_comparable":
            case = ET.SubElement(suite, "testcase", classname="selfe-eval.gate", name="comparable")
            _say(case, "error", decision.reason)
        for row in decision.rows:
            _add_case(suite, row, on_inconclusive)
        for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            suite.set(attribute, str(len(suite.findall(f"testcase/{tag}"))))
        suite.set("tests", str(len(suite.findall("testcase"))))
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _add_case(suite: ET.Element, row: GateRow, on_inconclusive: OnInconclusive) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        classname=_text(f"selfe-eval.gate.{row.metric}"),
        name=_text(f"{row.task or 'overall'} at {row.steps} step{'s' if row.steps > 1 else ''}"),
    )
    if row.outcome == "pass":
        return
    is_failure = row.outcome == "fail" or (row.is_primary and on_inconclusive == "fail")
    _say(case, "failure" if is_failure else "skipped", _message(row))


def _message(row: GateRow) -> str:
    if row.gain is None or row.gain_lower is None or row.gain_upper is None or row.p_adjusted is None:
        return f"{row_name(row)}: inconclusive, too few prompts to judge by."
    bounds = " to ".join(_signed(value, row) for value in (row.gain_lower, row.gain_upper))
    return (
        f"{row_name(row)}: {row.outcome}. Gain {_signed(row.gain, row)}, one-sided 95 % bounds {bounds}, adjusted p "
        f"{row.p_adjusted:.2g}; a loss of {amount(row.delta, row.unit)} is to be excluded."
    )


def _signed(value: float, row: GateRow) -> str:
    return f"{'-' if value < 0 else '+'}{amount(abs(value), row.unit)}"


def _say(case: ET.Element, tag: str, message: str) -> None:
    ET.SubElement(case, tag, message=_text(message))


def _text(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
