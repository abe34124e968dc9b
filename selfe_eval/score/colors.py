"""Which of GenEval's ten colours an object has, asked of a CLIP model with GenEval's own sentences.

The same code serves the bundled tiny model and ViT-L-14 with OpenAI's weights (``color_model.py``).

Source: djghosh13/geneval at af4902f, ``evaluation/evaluate_images.py``, ``color_classification`` (MIT), and
clip_benchmark 1.4.0, ``zeroshot_classifier``. There, one object type of one image is asked at a time, through
four new worker processes each; here crops of any number of images and classes go through the network together.
There, networks and the last product are computed in half precision, which makes logits multiples of 1/64 and
can decide between two colours: that is the mode ``reference``. ``deterministic`` computes in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from selfe_eval.records import COLORS
from selfe_eval.runs.judge import ColorMode, JudgeOptions
from selfe_eval.score.color_model import (
    ColorModel,
    bundled_model,
    model_from_folder,
    official_file,
    official_model,
)
from selfe_eval.score.exact_float32 import exact_float32
from selfe_eval.score.published_clip import OPENAI

TEMPLATES = (
    "a photo of a {color} {name}",
    "a photo of a {color}-colored {name}",
    "a photo of a {color} object",
)
"""The reference's sentences; the article is always "a"."""
LOGIT_SCALE = 100.0
NEAR_TIE = 1 / 64
"""Two best logits closer than this could swap in the reference's 16-bit arithmetic."""
BATCH_SIZE = 64
"""Crops that go through the network together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColorLabel:
    """The answer for one crop."""

    color: str
    """One of COLORS."""
    margin: float
    """Best minus second best logit (100 x cosine), >= 0."""

    @property
    def is_near_tie(self) -> bool:
        """True if rounding could decide between the two best colours."""
        return self.margin < NEAR_TIE


class ColorClassifier:
    """A CLIP model that answers with one of ten colours; text classifiers are kept per class name."""

    def __init__(self, model: ColorModel, *, device: str = "cpu", mode: ColorMode = "deterministic") -> None:
        self._model = model
        self._network = model.network.eval().to(device)
        self._device = torch.device(device)
        self._mode = mode
        self._text: dict[str, Tensor] = {}
        self._sentences: dict[str, Tensor] = {}

    @classmethod
    def bundled(cls, device: str = "cpu", folder: Path | None = None) -> ColorClassifier:
        """Load the tiny model of the openmoji world, after checking its hash.

        Args:
            device: A torch device string.
            folder: Another folder of the same form than the bundled one.

        Raises:
            UsageError: The weights are missing or corrupt.
        """
        return cls(bundled_model(folder), device=device)

    def describe(self) -> dict[str, Any]:
        """Model, weights, activation, release, arithmetic and sentences; "color_variant" if the model is not official."""
        return {
            **self._model.record,
            "color_mode": self._mode,
            "templates": list(TEMPLATES),
        }

    @torch.inference_mode()
    def classify(self, crops: Sequence[NDArray[np.uint8]], class_names: Sequence[str]) -> list[ColorLabel]:
        """Name the colour of each crop.

        Args:
            crops: RGB uint8 (height, width, 3), of any sizes, grey outside the object's mask.
            class_names: The GenEval class of each crop; words of the sentences.

        Returns:
            One label for each crop; equal logits go to the earlier colour.
        """
        labels: list[ColorLabel] = []
        for start in range(0, len(crops), BATCH_SIZE):
            part = slice(start, start + BATCH_SIZE)
            labels += [_label(row) for row in self._logits(crops[part], class_names[part]).cpu().numpy()]
        return labels

    def _prepare(self, crop: NDArray[np.uint8]) -> Tensor:
        return self._model.preprocess(Image.fromarray(crop))

    def _logits(self, crops: Sequence[NDArray[np.uint8]], class_names: Sequence[str]) -> Tensor:
        """100 x cosine between N crops and the ten colours of their classes: (N, 10) float32."""
        pixels = torch.stack([self._prepare(crop) for crop in crops]).to(self._device)
        texts = torch.stack([self._text_classifier(name) for name in class_names])
        with self._arithmetic():
            features = _unit(self._network.encode_image(pixels))
            return torch.einsum("nd,ncd->nc", LOGIT_SCALE * features, texts).float()

    def _text_classifier(self, class_name: str) -> Tensor:
        """Unit vectors of the ten colours for one class: (10, D) float32."""
        if class_name not in self._text:
            mean = torch.stack([self._features(template, class_name) for template in TEMPLATES]).mean(dim=0)
            self._text[class_name] = _unit(mean)
        return self._text[class_name]

    def _features(self, template: str, class_name: str) -> Tensor:
        """Unit vectors of a template's ten sentences: (10, D). One that names no class is encoded once for all."""
        key = template.format(color="", name=class_name)
        if key not in self._sentences:
            tokens = self._model.tokenizer(
                [template.format(color=color, name=class_name) for color in COLORS]
            )
            with self._arithmetic():
                self._sentences[key] = _unit(self._network.encode_text(tokens.to(self._device)))
        return self._sentences[key]

    def _arithmetic(self) -> AbstractContextManager[Any]:
        """Half precision for networks and products, or float32 without the GPU's shorter TF32."""
        if self._mode == "reference":
            return torch.autocast(self._device.type, dtype=torch.float16)
        return exact_float32()


def load_color_classifier(detector_name: str, judge: JudgeOptions, device: str = "cpu") -> ColorClassifier:
    """Load the colour model that goes with a detector, or the one a caller named.

    Args:
        detector_name: The bundled detector has a bundled colour model; all others are asked with GenEval's own.
        judge: ``color_weights`` (None, "openai", a weight file of ViT-L-14 or an open_clip folder), ``color_mode``.
        device: A torch device string.

    Raises:
        UsageError: Weights that are missing, unsafe, another network's, or not to be had.
    """
    return ColorClassifier(_model(detector_name, judge.color_weights), device=device, mode=judge.color_mode)


def _model(detector_name: str, color_weights: str | None) -> ColorModel:
    if color_weights is None:
        return bundled_model() if detector_name == "openmoji" else official_model()
    if color_weights == OPENAI:
        return official_model()
    path = Path(color_weights)
    return model_from_folder(path) if path.is_dir() else official_file(path)


def _unit(vectors: Tensor) -> Tensor:
    """Rows of length one, in float32: CUDA's autocast takes norms in float32, the CPU's would not."""
    return functional.normalize(vectors.float(), dim=-1)


def _label(logits: NDArray[np.float32]) -> ColorLabel:
    best = int(np.argmax(logits))
    second = float(np.max(np.delete(logits, best)))
    return ColorLabel(color=COLORS[best], margin=float(logits[best]) - second)
