"""The whole examination: versions and files first, and judges only where torch can be imported at all.

Nothing is downloaded. What is not installed is reported as "not set up" with the way to set it up; it is a failure
only where the caller asked for that very detector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from selfe_eval.devices import resolve_device
from selfe_eval.doctor.bundled_weights import model_findings
from selfe_eval.doctor.findings import (
    AREAS,
    INSTALLATION,
    OFFICIAL,
    OFFICIAL_COLORS,
    Examination,
    Finding,
    conclude,
    guarded,
)
from selfe_eval.doctor.imports import PROBES, import_findings
from selfe_eval.doctor.versions import read_installation, version_findings
from selfe_eval.report.summary import metric_name
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
    """Files in the place of the judge's own: of the named detector, or of all the official ones."""

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
        UsageError: The device does not exist here.
    """
    tell("versions, imports and files")
    installation = read_installation()
    imports = import_findings(installation, [probe for probe in PROBES if _touches(probe.area, request)])
    findings = [*version_findings(installation), *model_findings(), *imports]
    tested: dict[str, str] = {}
    if not any(finding.area == INSTALLATION and finding.status == "fail" for finding in imports):
        device = resolve_device(request.device)
        findings += guarded(INSTALLATION, _judges(request, device, tell, tested), name="judges")
    touching = [finding for finding in findings if _touches(finding.area, request)]
    return conclude(touching, asked=request.asked, tested=tested)


def files_for(request: Request, detector: str) -> JudgeOptions:
    """The files that a detector is examined with: those that were named, else the official one on this disk.

    Without a detector's name, a configuration belongs to mmdet with the weights beside it, and other weights to every
    official detector.
    """
    judge = request.judge
    if request.detector is None and detector not in OFFICIAL:
        return JudgeOptions()
    if request.detector is None and judge.detector_config is not None and detector != "mmdet":
        judge = replace(judge, detector_weights=None, detector_config=None)
    if judge.detector_weights is not None or detector not in OFFICIAL:
        return judge
    from selfe_eval.doctor.official_files import detector_weights

    found = detector_weights(detector)
    return judge if found is None else replace(judge, detector_weights=str(found))


def _touches(area: str, request: Request) -> bool:
    """Whether an area says something about what was asked; without a name, everything does."""
    return request.detector is None or request.detector in AREAS[area]


def _judges(
    request: Request, device: str, tell: Callable[[str], None], tested: dict[str, str]
) -> Iterator[Finding]:
    """Findings on the device and the judges; ``tested`` gets the detectors that were tested with their colours."""
    from selfe_eval.doctor import self_tests
    from selfe_eval.doctor.device import device_findings

    yield from device_findings(uses_gpu=device != "cpu")
    if "openmoji" in request.asked:
        tell("openmoji: rendered scenes")
        record: dict[str, Any] = {}
        subject = self_tests.Subject(detector="openmoji", device=device, judge=files_for(request, "openmoji"))
        yield from guarded("openmoji", self_tests.bundled_judge(subject, record))
        tested["openmoji"] = metric_name("openmoji", record)
    official = [name for name in request.asked if name in OFFICIAL]
    if official:
        subjects = [
            self_tests.Subject(detector=name, device=device, judge=files_for(request, name))
            for name in official
        ]
        yield from _official(subjects, request, tell, tested)


def _official(
    subjects: Sequence[Subject], request: Request, tell: Callable[[str], None], tested: dict[str, str]
) -> Iterator[Finding]:
    """The same for detectors of photographs, which share one colour model."""
    from selfe_eval.doctor import official_files, self_tests
    from selfe_eval.score.published_clip import OPENAI

    yield self_tests.architecture_finding()
    records: dict[str, dict[str, Any]] = {}
    for subject in subjects:
        if subject.judge.detector_weights is None:
            yield _absent(subject.detector, "official weights", DETECTOR_ADVICE, request)
        elif request.detector is not None or subject.detector != "mmdet" or find_spec("mmdet") is not None:
            tell(f"{subject.detector}: large drawings, a minute or two on a CPU")
            record = records[subject.detector] = {}
            yield from guarded(subject.detector, self_tests.official_detector(subject, record))
    is_own = request.judge.color_weights not in {None, OPENAI}
    file = None if is_own else official_files.color_file()
    if file is None and not is_own:
        yield _absent(OFFICIAL_COLORS, "color weights", COLOR_ADVICE, request)
        return
    tell("official colors: flat colours")
    colors: dict[str, Any] = {}
    yield from guarded(OFFICIAL_COLORS, self_tests.official_colors(subjects[0], file, colors))
    tested.update({name: metric_name("geneval", record | colors) for name, record in records.items()})


def _absent(area: str, name: str, advice: str, request: Request) -> Finding:
    return Finding(
        area=area,
        name=name,
        status="warn" if request.detector is None else "fail",
        found="not set up: the file is not on this disk",
        advice=advice,
    )
