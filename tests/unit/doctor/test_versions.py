from __future__ import annotations

import tomllib
from collections.abc import Mapping

import pytest
from packaging.requirements import Requirement

from selfe_eval.doctor.findings import Finding
from selfe_eval.doctor.versions import Installation, read_installation, version_findings
from tests.repository import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
REQUIRES = (
    *PROJECT["dependencies"],
    *(f"{line}; extra == 'mmdet'" for line in PROJECT["optional-dependencies"]["mmdet"]),
    "somebody-else==1; extra == 'other'",
    f"python{PROJECT['requires-python']}",
)
"""What selfe-eval asks for, as the metadata of an installation puts it, and an extra that does not concern doctor."""

GOOD = {Requirement(line).name.replace("_", "-"): "99" for line in PROJECT["dependencies"]} | {
    "diffusers": "0.42.1",
    "torch-fidelity": "0.4.0",
    "python": "3.11.7",
    "torch": "2.13.0",
    "torchvision": "0.28.0",
    "open-clip-torch": "3.3.0",
    "transformers": "5.23.0",
    "mmdet": "3.3.0",
    "mmengine": "0.10.7",
    "mmcv-lite": "2.1.0",
    "setuptools": "84.2.1",
}
"""An installation of everything, as pip resolves it."""


def judged(changes: Mapping[str, str | None], torchvision_needs: str = "torch==2.13.0") -> dict[str, Finding]:
    """Findings by name for the good installation with other versions; None uninstalls."""
    versions = {name: version for name, version in {**GOOD, **changes}.items() if version is not None}
    installation = Installation(
        versions=versions, requires=REQUIRES, torchvision_requires=("numpy", torchvision_needs)
    )
    return {finding.name: finding for finding in version_findings(installation)}


def test_a_good_installation_has_no_complaint() -> None:
    """What pip resolves today is fine in every line."""
    findings = judged({})
    assert {finding.status for finding in findings.values()} == {"ok"}
    assert findings["torch"].found == "2.13.0"


@pytest.mark.parametrize(
    ("changes", "name", "advice"),
    [
        ({"python": "3.10.14"}, "python", "Python of this range"),
        ({"python": "3.14.0"}, "python", "mmengine"),
        ({"torch": "2.10.0"}, "torch", "torch torchvision"),
        ({"torch": None}, "torch", "torch torchvision"),
        ({"numpy": "1.26.4"}, "numpy", "numpy>=2.0"),
        ({"opencv-python": None}, "opencv-python", "opencv-python>=4.10"),
        ({"open-clip-torch": "2.28.0"}, "open_clip_torch", "QuickGELU"),
        ({"transformers": "4.57.1"}, "transformers", "5.23"),
        ({"transformers": "6.0.0"}, "transformers", "5.23"),
        ({"mmdet": "3.2.0"}, "mmdet", "selfe-eval[mmdet]"),
        ({"mmengine": "0.11.0"}, "mmengine", "selfe-eval[mmdet]"),
        ({"mmcv-lite": None}, "mmcv-lite", "Not mmcv"),
        ({"mmcv-lite": "2.2.0"}, "mmcv-lite", "selfe-eval[mmdet]"),
        ({"mmcv-lite": None, "mmcv": "1.7.2"}, "mmcv-lite", "Not mmcv"),
        ({"mmcv": "2.1.0"}, "mmcv beside mmcv-lite", "uninstall -y mmcv mmcv-lite"),
        ({"mmcv": "2.2.0", "mmcv-lite": None}, "mmcv refused by mmdet", "uninstall -y mmcv,"),
        ({"mmcv-full": "1.7.2"}, "mmcv-full beside mmdet 3", "uninstall -y mmcv-full"),
        ({"mmcv-lite": None}, "setuptools and mmcv", "a wheel"),
        ({"torch": "2.13.0+cpu"}, "torch and torchvision", "one index"),
        ({"torch": "2.13.0+cu126", "torchvision": "0.28.0+cu130"}, "torch and torchvision", "one index"),
        ({"torch": "2.12.1"}, "torch and torchvision", "matched pair"),
    ],
)
def test_versions_that_break_are_failures_with_the_way_out(
    changes: dict[str, str | None], name: str, advice: str
) -> None:
    """Each known-bad version or combination is found, fails, and says what to install."""
    finding = judged(changes)[name]
    assert finding.status == "fail"
    assert advice in finding.advice


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"mmcv": "2.1.0", "mmcv-lite": None}, "mmcv with compiled operators"),
        ({"opencv-python-headless": "5.0.0.93"}, "two OpenCVs"),
    ],
)
def test_versions_that_are_only_odd_are_warnings(changes: dict[str, str | None], name: str) -> None:
    """What selfe-eval gets along with is said, and fails nothing."""
    findings = judged(changes)
    assert {finding.name for finding in findings.values() if finding.status != "ok"} == {name}
    assert findings[name].status == "warn"


def test_a_missing_extra_is_not_set_up_rather_than_broken() -> None:
    """Without mmdet nothing is said of its companions, and the one warning says how to get it."""
    findings = judged({"mmdet": None, "mmengine": None, "mmcv-lite": None})
    assert findings["mmdet"].status == "warn"
    assert findings["mmdet"].found.startswith("not set up")
    assert "selfe-eval[mmdet]" in findings["mmdet"].advice
    assert {"mmengine", "mmcv-lite", "setuptools and mmcv"} & set(findings) == set()


@pytest.mark.parametrize(
    ("torch", "torchvision"),
    [("2.13.0+cpu", "0.28.0+cpu"), ("2.13.0+cu130", "0.28.0+cu130"), ("2.13.0+cu130", "0.28.0")],
)
def test_matched_builds_of_torch_are_fine(torch: str, torchvision: str) -> None:
    """Both for the CPU, both for one CUDA, or one of them without a mark: no complaint."""
    assert "torch and torchvision" not in judged({"torch": torch, "torchvision": torchvision})


def test_another_wheel_of_opencv_is_as_good() -> None:
    """A server has the headless one; nothing is said of the one that is not there."""
    findings = judged({"opencv-python": None, "opencv-python-headless": "5.0.0.93"})
    assert {finding.status for finding in findings.values()} == {"ok"}


def test_extras_that_nobody_asked_for_are_left_out() -> None:
    """A requirement of another extra is no requirement."""
    assert "somebody-else" not in judged({})


def test_a_folder_that_is_not_installed_says_so() -> None:
    """Without metadata its requirements are not known, which is worth knowing and breaks nothing."""
    findings = list(version_findings(Installation(versions=GOOD)))
    assert [(finding.name, finding.status) for finding in findings] == [("selfe-eval", "warn")]


def test_this_installation_is_read_from_its_metadata() -> None:
    """Versions, what selfe-eval asks for and what torchvision asks of torch are found without importing them."""
    installation = read_installation()
    assert {"python", "torch", "torchvision", "numpy", "open-clip-torch"} <= set(installation.versions)
    assert any(line.startswith("python") for line in installation.requires)
    assert "torch and torchvision" not in {finding.name for finding in version_findings(installation)}
    (needed,) = (line for line in installation.torchvision_requires if Requirement(line).name == "torch")
    assert installation.has(needed)
