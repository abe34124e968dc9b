from __future__ import annotations

from selfe_eval.doctor.findings import Finding
from selfe_eval.doctor.imports import Probe, import_findings
from selfe_eval.doctor.versions import Installation

INSTALLATION = Installation(versions={"python": "3.11.7"})


def tried(*programs: str) -> list[Finding]:
    probes = [
        Probe(
            name=f"probe {number}",
            area="installation",
            program=program,
            only_with="python",
            reinstall="pip install --force-reinstall it",
        )
        for number, program in enumerate(programs)
    ]
    return import_findings(INSTALLATION, probes)


def test_an_import_that_works_says_what_it_found() -> None:
    """The last line that the program prints is what was found."""
    (found,) = tried("print('chatter'); print('all is well')")
    assert (found.status, found.found, found.advice) == ("ok", "all is well", "")


def test_the_error_of_mismatched_torch_gets_its_remedy() -> None:
    """The error that a CPU torch beside CUDA's torchvision raises leads to wheels of one index."""
    (found,) = tried("raise RuntimeError('operator torchvision::nms does not exist')")
    assert found.status == "fail"
    assert found.found == "RuntimeError: operator torchvision::nms does not exist"
    assert "from one index" in found.advice


def test_a_missing_system_library_gets_its_remedy() -> None:
    """OpenCV without libGL leads to the system's package or the headless wheel."""
    (found,) = tried("raise ImportError('libGL.so.1: cannot open shared object file')")
    assert "apt-get install libgl1" in found.advice
    assert "opencv-python-headless" in found.advice


def test_a_crash_is_a_finding_and_the_next_import_is_still_tried() -> None:
    """A process that a signal kills fails the probe it was at, not those before and after it."""
    found = tried("print(1)", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "1/0", "print(4)")
    assert [finding.status for finding in found] == ["ok", "fail", "fail", "ok"]
    assert [finding.name for finding in found] == ["probe 0", "probe 1", "probe 2", "probe 3"]
    assert found[1].found.startswith("killed by signal 11")
    assert "pip install --force-reinstall it" in found[1].advice
    assert (found[2].found, found[3].found) == ("ZeroDivisionError: division by zero", "4")


def test_what_is_not_installed_is_not_tried() -> None:
    """A probe for a missing distribution is left out."""
    probe = Probe(name="it", area="mmdet", program="1/0", only_with="mmdet", reinstall="x")
    assert import_findings(INSTALLATION, [probe]) == []
