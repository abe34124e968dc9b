"""Which versions work together: a visible table, and a pure function from what is installed to findings.

Sources of the known-bad combinations: pytorch/vision#9077 (torch and torchvision of different builds),
open-mmlab/mmcv#3096 and #3325 (mmdet refuses mmcv 2.2; pkg_resources), djghosh13/geneval#15 and #21 (operators
built for another GPU print an error, go on, and give wrong scores).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.version import Version

from selfe_eval.doctor.findings import INSTALLATION, Finding, Status

TORCH_PAIR = "pip install --force-reinstall torch torchvision"
MMDET_SET = "pip install mmdet==3.3.0 mmengine==0.10.7 mmcv-lite==2.1.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What is installed, by name of distribution."""

    versions: Mapping[str, str]
    """Distribution name, or ``python`` -> version; what is not installed is missing."""
    torchvision_needs: str | None = None
    """Torchvision's own requirement on torch, as in ``torch>=2.14.0``."""

    def has(self, requirement: str) -> bool:
        """Whether a distribution is installed and, where the requirement says so, of such a version."""
        asked = Requirement(requirement)
        version = self.versions.get(asked.name)
        return version is not None and asked.specifier.contains(version, prereleases=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """A distribution with the versions that work."""

    requirement: str
    """As pip takes it."""
    area: str
    """Where its finding stands."""
    advice: str
    """What to do where it is missing or of another version."""
    only_with: str = ""
    """Looked at only where this requirement is met."""
    instead: str = ""
    """A requirement that, where met, stands in its place; COMBINATIONS speak of that one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """Distributions that do not go together."""

    name: str
    area: str
    present: tuple[str, ...]
    """Requirements that all are met."""
    status: Status
    found: str
    advice: str
    absent: tuple[str, ...] = ()
    """Requirements of which none is met."""


NEEDED = (
    Needed(
        requirement="python>=3.11,<3.14",
        area=INSTALLATION,
        advice="Install selfe-eval under Python 3.11, 3.12 or 3.13; mmengine, which mmdet needs, breaks on 3.14.",
    ),
    Needed(requirement="torch>=2.11", area=INSTALLATION, advice=f"{TORCH_PAIR} (from one index)."),
    Needed(requirement="torchvision>=0.26", area=INSTALLATION, advice=f"{TORCH_PAIR} (from one index)."),
    Needed(requirement="numpy>=2.0", area=INSTALLATION, advice="pip install 'numpy>=2.0'"),
    Needed(
        requirement="open_clip_torch>=3.3,<4",
        area=INSTALLATION,
        advice="pip install 'open_clip_torch>=3.3,<4'. Other releases treat the activation (QuickGELU) of "
        "OpenAI's weights differently, and colours would be judged by another network.",
    ),
    Needed(
        requirement="transformers>=5.23,<6",
        area="transformers",
        advice="pip install 'transformers>=5.23,<6'. The official weights are renamed to the module names of "
        "transformers 5.",
    ),
    Needed(requirement="mmdet==3.3.0", area="mmdet", advice=MMDET_SET, only_with="mmdet"),
    Needed(requirement="mmengine==0.10.7", area="mmdet", advice=MMDET_SET, only_with="mmdet"),
    Needed(
        requirement="mmcv-lite==2.1.0",
        area="mmdet",
        advice=f"{MMDET_SET}. Not mmcv: it must be compiled, and selfe-eval does not need it.",
        only_with="mmdet",
        instead="mmcv>=2.0,<2.2",
    ),
)
"""Every version that changes a number or breaks an import."""

COMBINATIONS = (
    Combination(
        name="mmcv beside mmcv-lite",
        area="mmdet",
        present=("mmcv", "mmcv-lite"),
        status="fail",
        found="both install the package mmcv, so the files of one lie among those of the other",
        advice="pip uninstall -y mmcv mmcv-lite, then pip install mmcv-lite==2.1.0",
    ),
    Combination(
        name="mmcv-full beside mmdet 3",
        area="mmdet",
        present=("mmcv-full", "mmdet>=3"),
        status="fail",
        found="mmcv-full belongs to mmdet 2 and installs the same package as mmcv-lite",
        advice="pip uninstall -y mmcv-full, then pip install --force-reinstall mmcv-lite==2.1.0",
    ),
    Combination(
        name="mmcv refused by mmdet",
        area="mmdet",
        present=("mmcv>=2.2", "mmdet"),
        status="fail",
        found="mmdet 3.3.0 refuses mmcv 2.2 and later (AssertionError: MMCV==2.2.0 is used but incompatible)",
        advice="pip uninstall -y mmcv, then pip install mmcv-lite==2.1.0",
    ),
    Combination(
        name="mmcv with compiled operators",
        area="mmdet",
        present=("mmcv",),
        absent=("mmcv-lite", "mmcv>=2.2"),
        status="warn",
        found="operators built for another GPU print 'no kernel image is available', go on, and give wrong scores; "
        "selfe-eval computes the deformable attention in plain PyTorch and does not call them",
        advice="Nothing for selfe-eval. Other programs in this environment may be wrong; mmcv-lite==2.1.0 in the "
        "place of mmcv is enough here.",
    ),
    Combination(
        name="setuptools and mmcv",
        area="mmdet",
        present=("setuptools>=82", "mmdet"),
        absent=("mmcv", "mmcv-lite"),
        status="fail",
        found="mmcv is missing, and cannot be built here: its sdist needs pkg_resources, which setuptools 82 dropped",
        advice="pip install mmcv-lite==2.1.0, which is a wheel.",
    ),
    Combination(
        name="two OpenCVs",
        area=INSTALLATION,
        present=("opencv-python", "opencv-python-headless"),
        status="warn",
        found="opencv-python and opencv-python-headless both install the package cv2; the later one won",
        advice="pip uninstall -y opencv-python opencv-python-headless, then install one of them again.",
    ),
)
"""Combinations that are known to break, or to look as if they did not."""


def version_findings(installation: Installation) -> list[Finding]:
    """Judge versions and their combinations.

    Args:
        installation: What is installed; nothing else is looked at.

    Returns:
        One finding for each line of NEEDED that applies, one for mmdet if it is absent, one for the pair of torch
        and torchvision, and one for each known-bad combination that is there.
    """
    findings = [
        _needed(needed, installation)
        for needed in NEEDED
        if installation.has(needed.only_with or "python")
        and not (needed.instead and installation.has(needed.instead))
    ]
    if not installation.has("mmdet"):
        findings.append(
            Finding(
                area="mmdet",
                name="mmdet",
                status="warn",
                found="not set up: mmdet is not installed",
                advice="pip install 'selfe-eval[mmdet]', or use --detector transformers, which needs no mmdet.",
            )
        )
    return [*findings, *_torch_pair(installation), *_combinations(installation)]


def _needed(needed: Needed, installation: Installation) -> Finding:
    asked = Requirement(needed.requirement)
    version = installation.versions.get(asked.name)
    is_met = installation.has(needed.requirement)
    found = f"{version}" if version else "not installed"
    return Finding(
        area=needed.area,
        name=asked.name,
        status="ok" if is_met else "fail",
        found=found if is_met else f"{found}; expected {asked.specifier}",
        advice="" if is_met else needed.advice,
    )


def _torch_pair(installation: Installation) -> Iterator[Finding]:
    torch, torchvision = (installation.versions.get(name) for name in ("torch", "torchvision"))
    if torch is None or torchvision is None:
        return
    pair = f"torch {torch} beside torchvision {torchvision}"
    builds = Version(torch).local, Version(torchvision).local
    if builds[0] != builds[1] and ("cpu" in builds or None not in builds):
        yield _bad_pair(
            f"{pair}: built for different devices (operator torchvision::nms does not exist)",
            f"Take both from one index: {TORCH_PAIR}; or, to keep this torch, install torchvision's wheel of the "
            "same build (the part after +) from PyTorch's own index.",
        )
    elif installation.torchvision_needs and not installation.has(installation.torchvision_needs):
        yield _bad_pair(
            f"{pair}: this torchvision is built for {installation.torchvision_needs}",
            f"Let pip pick a matched pair: {TORCH_PAIR}.",
        )


def _bad_pair(found: str, advice: str) -> Finding:
    return Finding(area=INSTALLATION, name="torch and torchvision", status="fail", found=found, advice=advice)


def _combinations(installation: Installation) -> Iterator[Finding]:
    for bad in COMBINATIONS:
        if all(map(installation.has, bad.present)) and not any(map(installation.has, bad.absent)):
            yield Finding(area=bad.area, name=bad.name, status=bad.status, found=bad.found, advice=bad.advice)
