"""The self-test of each judge: loaded as scoring loads it, then shown images with known content.

Whatever a judge raises becomes a finding. The bounds of the bundled judge are its calibration's. Those of the
official judge are chosen, not measured, because its weights were not at hand: low enough for any healthy
installation, and out of reach of random weights, a wrong activation or exchanged channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch

from selfe_eval.doctor.coloring import color_findings
from selfe_eval.doctor.findings import OFFICIAL_COLORS, Finding
from selfe_eval.doctor.judging import Bound, content_finding, repeat_findings
from selfe_eval.doctor.known_images import colored_objects, flat_colors, known_pictures, known_scenes
from selfe_eval.doctor.official_files import ColorFile
from selfe_eval.errors import SelfeEvalError
from selfe_eval.pipeline.calibrate import BROKEN_TARGET, OVERALL_TARGET
from selfe_eval.runs.judge import JudgeOptions
from selfe_eval.score.color_model import ARCHITECTURE, model_from_file, uses_quick_gelu
from selfe_eval.score.colors import ColorClassifier, load_color_classifier
from selfe_eval.score.detectors.protocol import Detector
from selfe_eval.score.detectors.registry import load_detector
from selfe_eval.score.geneval_scorer import GenEvalScorer

TWICE, ALONE = 24, 6
"""Scenes that the bundled judge scores twice, and how many of them one by one."""
OFFICIAL_TWICE, OFFICIAL_ALONE = 4, 2
"""The same for the official detector, which takes seconds an image on a CPU."""

_NOT_OFFICIAL = "Nothing, if that is what you want; such numbers are not compared with GenEval's."
_REINSTALL = "Reinstall selfe-eval, with torch and torchvision from one index; if it stays, try --device cpu."
INTACT = Bound(
    least=OVERALL_TARGET, says=f"at least {OVERALL_TARGET:.0%} must be, as in `calibrate`", advice=_REINSTALL
)
BROKEN = Bound(
    least=BROKEN_TARGET, says=f"at least {BROKEN_TARGET:.0%} must be, as in `calibrate`", advice=_REINSTALL
)
BUNDLED_COLORS = Bound(least=0.95, says="at least 95% must be", advice=_REINSTALL)
KNOWN_TO_CLIP = Bound(
    least=0.7,
    says="at least 7 must be (a chosen bound, not a measured one: a healthy installation should name nearly all)",
    advice="The colour model is not ViT-L-14 with OpenAI's weights and QuickGELU, or its file is damaged: get "
    "ViT-L-14.pt again and name it with --color-weights, or use --color-weights openai.",
)
EASY = Bound(
    least=0.3,
    says="at least 3 must be (a chosen bound, not a measured one: a healthy installation should find most)",
    advice="Numbers of this detector are not to be believed. Use the official file (SHA-256 743b7d99... or "
    "c9d0c4f2...) without a configuration of your own, try --device cpu, and the other of mmdet and transformers.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Which judge is examined."""

    detector: str
    """A name of the detectors' table."""
    device: str
    """A torch device string."""
    judge: JudgeOptions
    """Files in the place of the judge's own."""

    def load(self) -> Detector:
        """The detector, as scoring loads it."""
        weights, config = self.judge.detector_weights, self.judge.detector_config
        return load_detector(
            self.detector,
            self.device,
            weights=None if weights is None else Path(weights),
            config=None if config is None else Path(config),
        )


def bundled_judge(subject: Subject) -> list[Finding]:
    """Test the detector openmoji and its colour model on rendered scenes."""
    area = subject.detector

    def test() -> list[Finding]:
        colors = load_color_classifier(area, subject.judge, subject.device)
        scorer = GenEvalScorer(subject.load(), colors)
        intact, broken = known_scenes()
        return [
            content_finding(area, scorer, intact, INTACT),
            content_finding(area, scorer, broken, BROKEN),
            *color_findings(area, colors, colored_objects(), BUNDLED_COLORS),
            *repeat_findings(area, scorer, intact.some(TWICE), ALONE),
        ]

    return guarded(area, test)


def official_detector(subject: Subject) -> list[Finding]:
    """Test a detector of photographs on large drawings; they ask no colours, so any colour model will do."""
    area = subject.detector

    def test() -> list[Finding]:
        detector = subject.load()
        scorer = GenEvalScorer(detector, ColorClassifier.bundled())
        pictures = known_pictures()
        return [
            _which_weights(area, detector),
            content_finding(area, scorer, pictures, EASY),
            *repeat_findings(area, scorer, pictures.some(OFFICIAL_TWICE), OFFICIAL_ALONE),
        ]

    return guarded(area, test)


def official_colors(subject: Subject, found: ColorFile | None) -> list[Finding]:
    """Test GenEval's own colour model, or the one that was named, on flat colours.

    Args:
        subject: Its ``color_weights`` come first.
        found: The file to take otherwise.
    """

    def test() -> list[Finding]:
        colors = _official_classifier(subject, found)
        return [
            _which_colors(colors.describe()),
            *color_findings(OFFICIAL_COLORS, colors, flat_colors(), KNOWN_TO_CLIP),
        ]

    return guarded(OFFICIAL_COLORS, test)


def architecture_finding() -> Finding:
    """Whether this open_clip builds the official colour model with QuickGELU; needs no weights."""
    with torch.device("meta"):
        is_quick = uses_quick_gelu(open_clip.CLIP(**open_clip.get_model_config(ARCHITECTURE)))
    return Finding(
        area=OFFICIAL_COLORS,
        name="activation",
        status="ok" if is_quick else "fail",
        found=f"this open_clip builds {ARCHITECTURE} with {_gelu(is_quick)}",
        advice="" if is_quick else "OpenAI's weights need QuickGELU: pip install 'open_clip_torch>=3.3,<4'.",
    )


def guarded(area: str, test: Callable[[], list[Finding]]) -> list[Finding]:
    """Run a test; what it raises becomes a failed finding."""
    try:
        return test()
    except SelfeEvalError as error:
        return [_stopped(area, "it refused to run", str(error))]
    except Exception as error:  # noqa: BLE001 - any crash of a judge is a finding, and the others go on
        advice = "The judge cannot be used here. Reinstall what the error names, or try --device cpu."
        return [_stopped(area, f"{type(error).__name__}: {error}", advice)]


def _stopped(area: str, found: str, advice: str) -> Finding:
    return Finding(area=area, name="self-test", status="fail", found=found, advice=advice)


def _official_classifier(subject: Subject, found: ColorFile | None) -> ColorClassifier:
    if subject.judge.color_weights is not None or found is None:
        return load_color_classifier(subject.detector, subject.judge, subject.device)
    model = model_from_file(found.path, is_official=found.is_from_hub)
    return ColorClassifier(model, device=subject.device, mode=subject.judge.color_mode)


def _which_colors(record: Mapping[str, Any]) -> Finding:
    activation = _gelu(bool(record["color_quick_gelu"]))
    sha256 = str(record["color_weights_sha256"])[:8]
    variant = record.get("color_variant")
    if variant is None:
        found = f"{record['color_model']} with OpenAI's weights (SHA-256 {sha256}) and {activation}"
        return Finding(area=OFFICIAL_COLORS, name="color weights", status="ok", found=found)
    return Finding(
        area=OFFICIAL_COLORS,
        name="color weights",
        status="warn",
        found=f"not GenEval's own (SHA-256 {sha256}, {activation}); numbers are reported as geneval[{variant}]",
        advice=_NOT_OFFICIAL,
    )


def _gelu(is_quick: bool) -> str:  # noqa: FBT001 - the one thing it is about
    return "QuickGELU" if is_quick else "plain GELU"


def _which_weights(area: str, detector: Detector) -> Finding:
    record = detector.describe()
    sha256 = str(record.get("weights_sha256", "unknown"))
    variant = record.get("variant")
    if variant is None:
        return Finding(area=area, name="weights", status="ok", found=f"official, SHA-256 {sha256[:8]}")
    return Finding(
        area=area,
        name="weights",
        status="warn",
        found=f"not the official ones (SHA-256 {sha256[:8]}); numbers are reported as geneval[{variant}]",
        advice=_NOT_OFFICIAL,
    )
