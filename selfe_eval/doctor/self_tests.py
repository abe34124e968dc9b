"""The self-test of each judge: loaded as scoring loads it, then shown images with known content.

The bounds of the bundled judge are its calibration's. Those of the official judge are chosen, not measured, because
its weights were not at hand: low enough for any healthy installation, and out of reach of random weights, a wrong
activation or exchanged channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch

from selfe_eval.doctor.coloring import color_findings
from selfe_eval.doctor.findings import OFFICIAL_COLORS, Finding
from selfe_eval.doctor.judging import Bound, content_finding, repeat_findings
from selfe_eval.doctor.known_images import EASY_CLASSES, SEED, known_pictures, known_prompts, known_scenes
from selfe_eval.doctor.official_files import ColorFile
from selfe_eval.pipeline.calibrate import BROKEN_TARGET, TASK_TARGET, calibrate
from selfe_eval.runs.judge import JudgeOptions
from selfe_eval.score.clip_model import uses_quick_gelu
from selfe_eval.score.color_model import model_from_file, official_file
from selfe_eval.score.colors import ColorClassifier, load_color_classifier
from selfe_eval.score.detectors.protocol import Detector
from selfe_eval.score.detectors.registry import load_detector
from selfe_eval.score.geneval_scorer import GenEvalScorer
from selfe_eval.score.published_clip import VIT_L_14

NUM_PROMPTS, SCENES_PER_PROMPT = 60, 2
"""Of the calibration: ten prompts of each of the six tasks."""
TWICE, ALONE = 24, 6
"""Scenes that the bundled judge scores twice, and how many of them one by one."""
OFFICIAL_TWICE, OFFICIAL_ALONE = 4, 2
"""The same for the official detector, which takes seconds an image on a CPU."""

_REINSTALL = "Reinstall selfe-eval, with torch and torchvision from one index; if it stays, try --device cpu."
_CHOSEN = "a chosen bound, not a measured one: a healthy installation should do better"
INTACT = Bound(least=TASK_TARGET, origin="as `calibrate` asks of a task", advice=_REINSTALL)
BROKEN = Bound(least=BROKEN_TARGET, origin="as in `calibrate`", advice=_REINSTALL)
BUNDLED_COLORS = Bound(least=0.8, origin="the bundled weights know 9", advice=_REINSTALL)
KNOWN_TO_CLIP = Bound(
    least=0.7,
    origin=_CHOSEN,
    advice="The colour model is not ViT-L-14 with OpenAI's weights and QuickGELU, or its file is damaged: get "
    "ViT-L-14.pt again and name it with --color-weights, or use --color-weights openai.",
)
EASY = Bound(
    least=0.3,
    origin=_CHOSEN,
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


def bundled_judge(subject: Subject, record: dict[str, Any]) -> Iterator[Finding]:
    """Calibrate the detector openmoji and its colour model on a few prompts, and test what calibration does not.

    Args:
        subject: What to test.
        record: Gets what the judge says of itself.
    """
    area = subject.detector
    colors = load_color_classifier(area, subject.judge, subject.device)
    scorer = GenEvalScorer(subject.load(), colors)
    record.update(scorer.describe())
    yield _weights(area, "weights", record["weights_sha256"], record.get("variant"))
    yield _weights(area, "color weights", record["color_weights_sha256"], record.get("color_variant"))
    prompts = known_prompts(NUM_PROMPTS)
    found = calibrate(scorer, prompts=prompts, scenes_per_prompt=SCENES_PER_PROMPT, seed=SEED)
    broken = found.broken.values()
    yield INTACT.finding(area, "intact scenes", found.overall.num_right, found.overall.num_scenes)
    yield BROKEN.finding(
        area, "broken scenes", sum(kind.num_right for kind in broken), sum(kind.num_scenes for kind in broken)
    )
    yield from color_findings(area, colors, BUNDLED_COLORS)
    yield from repeat_findings(area, scorer, known_scenes(TWICE), ALONE)


def official_detector(subject: Subject, record: dict[str, Any]) -> Iterator[Finding]:
    """Test a detector of photographs on large drawings; they ask no colours, so any colour model will do.

    Args:
        subject: What to test.
        record: Gets what the detector says of itself.
    """
    area = subject.detector
    detector = subject.load()
    record.update(detector.describe())
    yield _weights(area, "weights", record.get("weights_sha256", "unknown"), record.get("variant"))
    scorer = GenEvalScorer(detector, ColorClassifier.bundled())
    yield content_finding(area, "large drawings", scorer, known_pictures(), EASY)
    yield from repeat_findings(area, scorer, known_pictures(EASY_CLASSES[:OFFICIAL_TWICE]), OFFICIAL_ALONE)


def official_colors(subject: Subject, file: ColorFile | None, record: dict[str, Any]) -> Iterator[Finding]:
    """Test GenEval's own colour model, or the one that was named, on flat colours.

    Args:
        subject: Its ``color_weights`` are taken where there is no file.
        file: OpenAI's weights on this disk.
        record: Gets what the model says of itself.
    """
    if file is None:
        colors = load_color_classifier(subject.detector, subject.judge, subject.device)
    else:
        path = file.path
        model = model_from_file(path, is_official=True) if file.is_from_hub else official_file(path)
        colors = ColorClassifier(model, device=subject.device)
    record.update(colors.describe())
    yield _weights(
        OFFICIAL_COLORS, "color weights", record["color_weights_sha256"], record.get("color_variant")
    )
    yield from color_findings(OFFICIAL_COLORS, colors, KNOWN_TO_CLIP)


def architecture_finding() -> Finding:
    """Whether this open_clip builds the official colour model with QuickGELU; needs no weights."""
    with torch.device("meta"):
        is_quick = uses_quick_gelu(open_clip.CLIP(**open_clip.get_model_config(VIT_L_14.architecture)))
    return Finding(
        area=OFFICIAL_COLORS,
        name="activation",
        status="ok" if is_quick else "fail",
        found=f"this open_clip builds {VIT_L_14.architecture} with {'QuickGELU' if is_quick else 'plain GELU'}",
        advice="" if is_quick else "OpenAI's weights need QuickGELU: pip install 'open_clip_torch>=3.3,<4'.",
    )


def _weights(area: str, name: str, sha256: str, variant: str | None) -> Finding:
    if variant is None:
        found = f"the ones that belong here, SHA-256 {sha256[:8]}"
        return Finding(area=area, name=name, status="ok", found=found)
    return Finding(
        area=area,
        name=name,
        status="warn",
        found=f"not the ones that belong here (SHA-256 {sha256[:8]}); numbers are reported as geneval[{variant}]",
        advice="Nothing, if that is what you want; such numbers are not compared with GenEval's.",
    )
