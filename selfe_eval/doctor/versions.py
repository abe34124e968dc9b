"""What is installed, what selfe-eval asks for by its own metadata, and a visible table of what does not go together.

Sources of the known-bad combinations: pytorch/vision#9077 (torch and torchvision of different builds),
open-mmlab/mmcv#3096 and #3325 (mmdet refuses mmcv 2.2; pkg_resources), djghosh13/geneval#15 and #21 (operators
built for another GPU print an error, go on, and give wrong scores).
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from selfe_eval.doctor.findings import INSTALLATION, Finding, Status

TORCH_PAIR = "pip install --force-reinstall torch torchvision"
MMDET_SET = "pip install 'selfe-eval[mmdet]'"

ADVICE = {
    "python": "Install selfe-eval under a Python of this range; mmengine, which mmdet needs, breaks on 3.14.",
    "torch": f"{TORCH_PAIR} (from one index).",
    "torchvision": f"{TORCH_PAIR} (from one index).",
    "open-clip-torch": "pip install 'open_clip_torch>=3.3,<4'. Other releases treat the activation (QuickGELU) of "
    "OpenAI's weights differently, and colours would be judged by another network.",
    "mmcv-lite": f"{MMDET_SET}. Not mmcv: it must be compiled, and selfe-eval does not need it.",
}
"""Distribution -> what to do where it is missing or of a wrong version, and more is to be said than "pip install"."""

INSTEAD = {
    "opencv-python": ("opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"),
    "mmcv-lite": ("mmcv>=2.0,<2.2",),
}
"""Distribution -> requirements of which one, where met, stands in its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What is installed."""

    versions: Mapping[str, str]
    """Normalised name of a distribution, or ``python`` -> version; what is not installed is missing."""
    requires: tuple[str, ...] = ()
    """What selfe-eval asks for, extras included, as its metadata puts it; empty where it has none."""
    torchvision_requires: tuple[str, ...] = ()
    """The same of torchvision."""

    def has(self, requirement: str) -> bool:
        """Whether a distribution is installed and, where the requirement says so, of such a version."""
        asked = Requirement(requirement)
        version = self.versions.get(canonicalize_name(asked.name))
        return version is not None and asked.specifier.contains(version, prereleases=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """Distributions that do not go together."""

    name: str
    present: tuple[str, ...]
    """Requirements that all are met."""
    found: str
    advice: str
    absent: tuple[str, ...] = ()
    """Requirements of which none is met."""
    area: str = "mmdet"
    status: Status = "fail"


COMBINATIONS = (
    Combination(
        name="mmcv beside mmcv-lite",
        present=("mmcv", "mmcv-lite"),
        found="both install the package mmcv, so the files of one lie among those of the other",
        advice=f"pip uninstall -y mmcv mmcv-lite, then {MMDET_SET}",
    ),
    Combination(
        name="mmcv-full beside mmdet 3",
        present=("mmcv-full", "mmdet>=3"),
        found="mmcv-full belongs to mmdet 2 and installs the same package as mmcv-lite",
        advice=f"pip uninstall -y mmcv-full mmcv-lite, then {MMDET_SET}",
    ),
    Combination(
        name="mmcv refused by mmdet",
        present=("mmcv>=2.2", "mmdet"),
        found="mmdet 3.3.0 refuses mmcv 2.2 and later (AssertionError: MMCV==2.2.0 is used but incompatible)",
        advice=f"pip uninstall -y mmcv, then {MMDET_SET}",
    ),
    Combination(
        name="mmcv with compiled operators",
        present=("mmcv",),
        absent=("mmcv-lite", "mmcv>=2.2"),
        status="warn",
        found="operators built for another GPU print 'no kernel image is available', go on, and give wrong scores; "
        "selfe-eval computes the deformable attention in plain PyTorch and does not call them",
        advice="Nothing for selfe-eval, which would do with mmcv-lite in the place of mmcv. Other programs in this "
        "environment may be wrong.",
    ),
    Combination(
        name="setuptools and mmcv",
        present=("setuptools>=82", "mmdet"),
        absent=("mmcv", "mmcv-lite"),
        found="mmcv is missing, and cannot be built here: its sdist needs pkg_resources, which setuptools 82 dropped",
        advice=f"{MMDET_SET}, which brings mmcv-lite: a wheel.",
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


def read_installation() -> Installation:
    """Read the metadata of every distribution that something here speaks of; nothing is imported."""
    requires = _requires("selfe-eval")
    if requires:
        requires += (f"python{metadata.metadata('selfe-eval')['Requires-Python']}",)
    asked = [*requires, "torch", "torchvision", "transformers", "mmdet"]
    for bad in COMBINATIONS:
        asked += [*bad.present, *bad.absent]
    versions = {"python": platform.python_version()}
    for name in {canonicalize_name(Requirement(line).name) for line in asked} - {"python"}:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return Installation(
        versions=versions,
        requires=requires,
        torchvision_requires=_requires("torchvision"),
    )


def version_findings(installation: Installation) -> Iterator[Finding]:
    """Judge versions and their combinations.

    Args:
        installation: What is installed; nothing else is looked at.

    Yields:
        One finding for each requirement that applies, one for mmdet if it is absent, one for a bad pair of torch and
        torchvision, and one for each known-bad combination that is there.
    """
    if not installation.requires:
        yield Finding(
            area=INSTALLATION,
            name="selfe-eval",
            status="warn",
            found="it is imported from a folder and not installed, so what it needs is not known",
            advice="Run pip install in that folder.",
        )
    for line in installation.requires:
        yield from _required(Requirement(line), installation)
    if not installation.has("mmdet"):
        yield Finding(
            area="mmdet",
            name="mmdet",
            status="warn",
            found="not set up: mmdet is not installed",
            advice=f"{MMDET_SET}, or use --detector transformers, which needs no mmdet.",
        )
    yield from _torch_pair(installation)
    for bad in COMBINATIONS:
        if all(map(installation.has, bad.present)) and not any(map(installation.has, bad.absent)):
            yield Finding(area=bad.area, name=bad.name, status=bad.status, found=bad.found, advice=bad.advice)


def _required(asked: Requirement, installation: Installation) -> Iterator[Finding]:
    """What is to be said of one requirement; nothing where it is another extra's, or something is in its place."""
    name = canonicalize_name(asked.name)
    is_plain = _applies(asked, extra="")
    is_mmdet = not is_plain and _applies(asked, extra="mmdet") and installation.has("mmdet")
    if not (is_plain or is_mmdet) or any(map(installation.has, INSTEAD.get(name, ()))):
        return
    is_met = installation.has(f"{name}{asked.specifier}")
    found = installation.versions.get(name, "not installed")
    advice = MMDET_SET if is_mmdet else f"pip install '{name}{asked.specifier}'"
    yield Finding(
        area="mmdet" if is_mmdet else "transformers" if name == "transformers" else INSTALLATION,
        name=asked.name,
        status="ok" if is_met else "fail",
        found=found if is_met else f"{found}; expected {asked.specifier or 'any version'}",
        advice="" if is_met else ADVICE.get(name, advice),
    )


def _applies(asked: Requirement, *, extra: str) -> bool:
    return asked.marker is None or asked.marker.evaluate({"extra": extra})


def _torch_pair(installation: Installation) -> Iterator[Finding]:
    torch, torchvision = (installation.versions.get(name) for name in ("torch", "torchvision"))
    if torch is None or torchvision is None:
        return
    pair = f"torch {torch} beside torchvision {torchvision}"
    builds = Version(torch).local, Version(torchvision).local
    needs = [need for need in map(Requirement, installation.torchvision_requires) if need.name == "torch"]
    if builds[0] != builds[1] and ("cpu" in builds or None not in builds):
        yield _bad_pair(
            f"{pair}: built for different devices (operator torchvision::nms does not exist)",
            f"Take both from one index: {TORCH_PAIR}; or, to keep this torch, install torchvision's wheel of the "
            "same build (the part after +) from PyTorch's own index.",
        )
    elif needs and not installation.has(f"torch{needs[0].specifier}"):
        yield _bad_pair(
            f"{pair}: this torchvision is built for torch{needs[0].specifier}",
            f"Let pip pick a matched pair: {TORCH_PAIR}.",
        )


def _bad_pair(found: str, advice: str) -> Finding:
    return Finding(area=INSTALLATION, name="torch and torchvision", status="fail", found=found, advice=advice)


def _requires(distribution: str) -> tuple[str, ...]:
    try:
        return tuple(metadata.requires(distribution) or ())
    except metadata.PackageNotFoundError:
        return ()
