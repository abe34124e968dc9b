from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from selfe_eval.doctor.findings import AREAS, EVERY_DETECTOR, Finding, Status, conclude, guarded
from selfe_eval.score.detectors.registry import DETECTORS

ASKED = ("openmoji", "transformers", "mmdet")
TESTED = dict.fromkeys(ASKED, "geneval")


def finding(area: str, status: Status, *, found: str = "seen") -> Finding:
    advice = "" if status == "ok" else "mend it"
    return Finding(area=area, name=f"{area} {status}", status=status, found=found, advice=advice)


def test_advice_goes_with_trouble_and_only_with_it() -> None:
    """A warning without a way out, and praise with one, are both refused."""
    with pytest.raises(ValueError, match="advice"):
        Finding(area="openmoji", name="x", status="warn", found="seen")
    with pytest.raises(ValueError, match="advice"):
        Finding(area="openmoji", name="x", status="ok", found="seen", advice="do")


def test_a_failure_spoils_the_detectors_of_its_area_and_no_others() -> None:
    """A broken mmdet leaves the others trusted; a broken installation leaves none."""
    mmdet = conclude([finding("mmdet", "fail")], asked=ASKED, tested=TESTED)
    everything = conclude([finding("installation", "fail")], asked=ASKED, tested=TESTED)

    assert {name: trust.answer for name, trust in mmdet.trusted.items()} == {
        "openmoji": "yes",
        "transformers": "yes",
        "mmdet": "no",
    }
    assert mmdet.trusted["mmdet"].because == "mmdet fail"
    assert {trust.answer for trust in everything.trusted.values()} == {"no"}
    assert mmdet.failed
    assert everything.failed


def test_what_was_not_tested_is_not_trusted() -> None:
    """Without a self-test the answer is "not set up", with the names of what is missing; nothing has failed."""
    missing = finding("transformers", "warn", found="not set up: no file")
    examination = conclude(
        [missing, finding("openmoji", "warn")], asked=ASKED, tested={"openmoji": "geneval"}
    )

    assert examination.trusted["openmoji"].answer == "yes"
    assert examination.trusted["transformers"].answer == "not set up"
    assert examination.trusted["transformers"].because == "transformers warn"
    assert not examination.failed


def test_findings_are_ordered_by_area_and_written_as_json() -> None:
    """The document has every field of every finding, in the order of the areas."""
    findings = [finding("mmdet", "ok"), finding("openmoji", "warn"), finding("installation", "ok")]
    document = json.loads(json.dumps(conclude(findings, asked=ASKED, tested={}).document()))

    assert document["schema_version"] == 1
    assert [entry["area"] for entry in document["findings"]] == ["installation", "openmoji", "mmdet"]
    assert document["findings"][1] == {
        "area": "openmoji",
        "name": "openmoji warn",
        "status": "warn",
        "found": "seen",
        "advice": "mend it",
    }
    assert document["trusted"]["mmdet"] == {"answer": "not set up", "because": "", "metric": ""}


def test_areas_speak_of_every_detector() -> None:
    """Each detector of the scorer's table is touched by an area of its own name."""
    assert set(EVERY_DETECTOR) == set(DETECTORS)
    assert all(name in AREAS[name] for name in DETECTORS)


def test_trust_names_the_metric_only_where_it_is_given() -> None:
    """Other weights than the official ones can be trusted to be themselves; a failure leaves nothing to report."""
    tested = {"transformers": "geneval[unverified-weights]", "mmdet": "geneval"}
    trusted = conclude([finding("mmdet", "fail")], asked=("transformers", "mmdet"), tested=tested).trusted

    assert (trusted["transformers"].answer, trusted["transformers"].metric) == (
        "yes",
        "geneval[unverified-weights]",
    )
    assert (trusted["mmdet"].answer, trusted["mmdet"].metric) == ("no", "")


def test_a_crash_of_a_judge_is_its_last_finding() -> None:
    """What a driver or library throws becomes a failure that names it; what was found before stays."""

    def crash() -> Iterator[Finding]:
        yield finding("mmdet", "ok")
        raise RuntimeError("CUDA error: no kernel image is available")

    before, crashed = guarded("mmdet", crash())
    assert before.status == "ok"
    assert (crashed.area, crashed.status) == ("mmdet", "fail")
    assert crashed.found == "RuntimeError: CUDA error: no kernel image is available"
