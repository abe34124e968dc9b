"""The whole examination: versions and files first, and judges only where torch can be imported at all.

Nothing is downloaded. What is not installed is reported as "not set up" with the way to set it up; it is a failure
only where the caller asked for that very detector.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from selfe_eval.devices import resolve_device
from selfe_eval.doctor.bundled_weights import bundled_findings
from selfe_eval.doctor.device import device_findings, read_devices
from selfe_eval.doctor.findings import (
    AREAS,
    INSTALLATION,
    OFFICIAL,
    OFFICIAL_COLORS,
    Examination,
    Finding,
    conclude,
)
from selfe_eval.doctor.imports import PROBES, import_findings
from selfe_eval.doctor.installation import read_installation
from selfe_eval.doctor.version_rules import Installation, version_findings
from selfe_eval.runs.judge import JudgeOptions

if TYPE_CHECKING:
    from selfe_eval.doctor.self_tests import Subject

BY_DEFAULT = ("openmoji", "transformers", "mmdet")
"""Detectors that are examined where none is named; the hub's weights are no official ones."""

DETECTOR_ADVICE = (
    "The first score with this detector downloads them (280 MB); or put the file "
    "mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco_20220504_001756-743b7d99.pth of mmdetection's model zoo into "
    "~/.cache/selfe-eval/weights, into the folder that SELFE_EVAL_WEIGHTS names, or name it: --detector-weights FILE."
)
COLOR_ADVICE = (
    "The first score with an official detector downloads them; or get OpenAI's ViT-L-14.pt and name it: "
    "--color-weights FILE."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be examined."""

    detector: str | None
    """One detector; None for all that are here."""
    device: str
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N``."""
    judge: JudgeOptions
    """Files in the place of the judge's own; of the named detector."""

    @property
    def asked(self) -> tuple[str, ...]:
        """The detectors that the conclusion speaks of."""
        return BY_DEFAULT if self.detector is None else (self.detector,)


def examine(request: Request, tell: Callable[[str], None]) -> Examination:
    """Look at everything that the asked detectors depend on.

    Args:
        request: What to examine.
        tell: Called with what is done next.

    Raises:
        UsageError: The device does not exist here, or the installation has no folder of checkpoints.
    """
    tell("versions, imports and files")
    installation = read_installation()
    probes = [probe for probe in PROBES if _touches(probe.area, request)]
    imports = import_findings(installation, probes)
    findings = [*version_findings(installation), *bundled_findings(), *imports]
    tested: list[str] = []
    if not any(finding.area == INSTALLATION and finding.status == "fail" for finding in imports):
        more, tested = _judges(request, installation, tell)
        findings += more
    touching = [finding for finding in findings if _touches(finding.area, request)]
    return conclude(touching, asked=request.asked, tested=tested)


def _touches(area: str, request: Request) -> bool:
    """Whether an area says something about what was asked; without a name, everything does."""
    return request.detector is None or request.detector in AREAS[area]


def _judges(
    request: Request, installation: Installation, tell: Callable[[str], None]
) -> tuple[list[Finding], list[str]]:
    """Findings on the device and the judges, and the detectors that were tested with their colours."""
    device = resolve_device(request.device)
    findings = device_findings(read_devices(), uses_gpu=device != "cpu")
    try:
        from selfe_eval.doctor import self_tests
    except ImportError as error:
        return [*findings, _no_judges(error)], []
    tested = []
    if "openmoji" in request.asked:
        tell("openmoji: rendered scenes")
        subject = self_tests.Subject(detector="openmoji", device=device, judge=_own(request, "openmoji"))
        findings += self_tests.bundled_judge(subject)
        tested.append("openmoji")
    official = [name for name in request.asked if name in OFFICIAL]
    if official:
        subjects = [
            self_tests.Subject(detector=name, device=device, judge=_own(request, name)) for name in official
        ]
        more, are_tested = _official(subjects, request, installation, tell)
        findings += more
        tested += are_tested
    return findings, tested


def _official(
    subjects: Sequence[Subject], request: Request, installation: Installation, tell: Callable[[str], None]
) -> tuple[list[Finding], list[str]]:
    """The same for detectors of photographs, which share one colour model."""
    from selfe_eval.doctor import official_files, self_tests

    findings, tested = [self_tests.architecture_finding()], []
    for subject in subjects:
        if subject.judge.detector_weights is None:
            findings.append(_absent(subject.detector, "official weights", DETECTOR_ADVICE, request))
        elif request.detector is not None or subject.detector != "mmdet" or installation.has("mmdet"):
            tell(f"{subject.detector}: large drawings, a minute or two on a CPU")
            findings += self_tests.official_detector(subject)
            tested.append(subject.detector)
    found = official_files.color_file()
    if found is None and request.judge.color_weights is None:
        return [*findings, _absent(OFFICIAL_COLORS, "color weights", COLOR_ADVICE, request)], []
    tell("official colors: flat colours")
    return [*findings, *self_tests.official_colors(subjects[0], found)], tested


def _own(request: Request, detector: str) -> JudgeOptions:
    """The files of the one detector that was named; else the official file, where it lies on this disk."""
    judge = request.judge
    if judge.detector_weights is not None or detector not in OFFICIAL:
        return judge
    from selfe_eval.doctor.official_files import detector_weights

    found = detector_weights(detector)
    return judge if found is None else replace(judge, detector_weights=str(found))


def _absent(area: str, name: str, advice: str, request: Request) -> Finding:
    return Finding(
        area=area,
        name=name,
        status="warn" if request.detector is None else "fail",
        found="not set up: the file is not on this disk",
        advice=advice,
    )


def _no_judges(error: ImportError) -> Finding:
    return Finding(
        area=INSTALLATION,
        name="judges",
        status="fail",
        found=f"they cannot be imported: {error}",
        advice="Reinstall the package that the error names.",
    )
