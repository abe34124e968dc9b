from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import open_clip
import torch

from selfe_eval.doctor.findings import guarded
from selfe_eval.doctor.judging import content_finding
from selfe_eval.doctor.known_images import known_scenes
from selfe_eval.doctor.self_tests import (
    INTACT,
    Subject,
    architecture_finding,
    official_colors,
    official_detector,
)
from selfe_eval.records import Prompt
from selfe_eval.runs.judge import JudgeOptions
from selfe_eval.score.detectors.protocol import RgbImages
from selfe_eval.score.geneval_scorer import GenEvalScorer, ImageScore, build_scorer


def subject(detector: str, **files: Path) -> Subject:
    judge = JudgeOptions(**{option: str(path) for option, path in files.items()})  # type: ignore[arg-type]
    return Subject(detector=detector, device="cpu", judge=judge)


class _Exchanged:
    """The real scorer, given BGR for RGB."""

    batch_size = 64

    def __init__(self, scorer: GenEvalScorer) -> None:
        self._scorer = scorer

    def score(self, images: RgbImages, prompts: Sequence[Prompt]) -> list[ImageScore]:
        exchanged = RgbImages(pixels=np.ascontiguousarray(images.pixels[..., ::-1]))
        return self._scorer.score(exchanged, prompts)

    def describe(self) -> dict[str, object]:
        return {}


def test_exchanged_channels_fail_on_real_scenes() -> None:
    """The bundled judge finds objects in BGR images too; the verdicts on colours give it away."""
    finding = content_finding("openmoji", "scenes", _Exchanged(build_scorer()), known_scenes(60), INTACT)
    assert finding.status == "fail"


def test_a_random_colour_model_fails(tmp_path: Path) -> None:
    """A CLIP that loads without complaint and was never trained names too few of ten flat colours."""
    tower = {"width": 16, "layers": 1}
    config = {
        "embed_dim": 8,
        "vision_cfg": {"image_size": 16, "patch_size": 8, "head_width": 8, **tower},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "heads": 1, **tower},
    }
    torch.manual_seed(0)
    text = json.dumps({"model_cfg": config, "preprocess_cfg": {"size": 16}})
    (tmp_path / "open_clip_config.json").write_text(text)
    torch.save(open_clip.CLIP(**config).state_dict(), tmp_path / "open_clip_pytorch_model.bin")

    record: dict[str, object] = {}
    weights, known, _ = official_colors(subject("mmdet", color_weights=tmp_path), None, record)
    assert (weights.status, known.status, known.area) == ("warn", "fail", "official colors")
    assert "geneval[own-colors]" in weights.found
    assert record["color_variant"] == "own-colors"


def test_a_checkpoint_of_another_family_fails_with_what_to_do(tmp_path: Path) -> None:
    """A file that holds another network is refused when it is loaded, in words, and the examination goes on."""
    path = tmp_path / "other.pth"
    torch.save({"state_dict": {"head.weight": torch.zeros(2, 2)}}, path)
    for detector in ("transformers", "mmdet"):
        test = official_detector(subject(detector, detector_weights=path), {})
        (finding,) = guarded(detector, test)
        assert (finding.area, finding.status) == (detector, "fail")
        assert "should hold mmdet's Mask2Former" in finding.advice


def test_this_open_clip_builds_the_official_colour_model_with_quick_gelu() -> None:
    """The architecture is built and looked at; its name alone proves nothing."""
    assert architecture_finding().status == "ok"
