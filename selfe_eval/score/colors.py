"""Which of GenEval's ten colours an object has, asked of a CLIP model with GenEval's own sentences.

The same code serves the bundled tiny model (``local-dir:`` of open_clip) and ViT-L-14-quickgelu with OpenAI's
weights. open_clip falls back to random weights with a warning and takes QuickGELU weights into a GELU model
with another; here both are errors.

Source: djghosh13/geneval at af4902f, ``evaluation/evaluate_images.py``, ``color_classification`` (MIT), and
clip_benchmark 1.4.0, ``zeroshot_classifier``. Unlike there, everything is computed in float32: near ties,
which 16-bit arithmetic may turn round, are reported by their margin.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from selfe_eval.errors import UsageError
from selfe_eval.records import COLORS
from selfe_eval.resources import checkpoints_dir
from selfe_eval.score.judge_weights import read_weights

TEMPLATES = (
    "a photo of a {color} {name}",
    "a photo of a {color}-colored {name}",
    "a photo of a {color} object",
)
"""The reference's sentences; the article is always "a"."""
LOGIT_SCALE = 100.0
NEAR_TIE = 1 / 64
"""Two best logits closer than this could swap in the reference's 16-bit arithmetic."""
BUNDLED_FORMAT = "selfe-eval-clip/1"
BUNDLED_FILE = "open_clip_model.safetensors"
BATCH_SIZE = 64


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
    """A CLIP model with its preprocessing and tokenizer; text classifiers are kept per class name."""

    def __init__(
        self,
        model: Any,
        preprocess: Callable[[Image.Image], Tensor],
        tokenizer: Callable[[list[str]], Tensor],
        *,
        device: str = "cpu",
        record: dict[str, Any] | None = None,
    ) -> None:
        self._model = model.eval()
        self._preprocess = preprocess
        self._tokenizer = tokenizer
        self._device = torch.device(device)
        self._record = record or {}
        self._text: dict[str, Tensor] = {}

    @classmethod
    def from_open_clip(
        cls, name: str, pretrained: str | None = None, *, device: str = "cpu"
    ) -> ColorClassifier:
        """Load an open_clip model that has trained weights.

        Args:
            name: A model name, or ``local-dir:FOLDER`` with ``open_clip_config.json`` and weights.
            pretrained: A weight tag or file for a model name; not for ``local-dir:``.
            device: A torch device string.

        Raises:
            UsageError: No weights, weights of another network, or of another activation function.
        """
        with _clip_errors(name, pretrained):
            model, preprocess, tokenizer = _load(name, pretrained, device)
        record = {"color_model": name, "color_pretrained": pretrained}
        return cls(model, preprocess, tokenizer, device=device, record=record)

    @classmethod
    def bundled(cls, device: str = "cpu", folder: Path | None = None) -> ColorClassifier:
        """Load the tiny model of the openmoji world, after checking its hash.

        Args:
            device: A torch device string.
            folder: Another folder of the same form than the bundled one.

        Raises:
            UsageError: The weights are missing or corrupt.
        """
        folder = folder or checkpoints_dir() / "openmoji-clip"
        weights = read_weights(folder, expected_format=BUNDLED_FORMAT, file_name=BUNDLED_FILE)
        with _clip_errors(str(folder), None):
            model, preprocess, tokenizer = _load(f"local-dir:{folder}", None, device)
        record = {"color_model": weights.config["name"], "color_weights_sha256": weights.sha256}
        return cls(model, preprocess, tokenizer, device=device, record=record)

    def describe(self) -> dict[str, Any]:
        """Model, weights, sentences and version."""
        return {**self._record, "templates": list(TEMPLATES), "open_clip": open_clip.__version__}

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
            labels += self._classify_batch(crops[part], class_names[part])
        return labels

    def _classify_batch(
        self, crops: Sequence[NDArray[np.uint8]], class_names: Sequence[str]
    ) -> list[ColorLabel]:
        pixels = torch.stack([self._preprocess(Image.fromarray(crop)) for crop in crops]).to(self._device)
        features = self._model.encode_image(pixels, normalize=True).float()
        texts = torch.stack([self._text_classifier(name) for name in class_names])
        logits = LOGIT_SCALE * torch.einsum("bd,bcd->bc", features, texts)
        return [_label(row) for row in logits.cpu().numpy()]

    def _text_classifier(self, class_name: str) -> Tensor:
        """Unit vectors of the ten colours for one class: (10, D)."""
        if class_name not in self._text:
            sentences = [
                template.format(color=color, name=class_name) for color in COLORS for template in TEMPLATES
            ]
            tokens = self._tokenizer(sentences).to(self._device)
            features = self._model.encode_text(tokens, normalize=True).float()
            mean = features.unflatten(0, (len(COLORS), len(TEMPLATES))).mean(dim=1)
            self._text[class_name] = torch.nn.functional.normalize(mean, dim=-1)
        return self._text[class_name]


def _label(logits: NDArray[np.float32]) -> ColorLabel:
    best = int(np.argmax(logits))
    second = float(np.max(np.delete(logits, best)))
    return ColorLabel(color=COLORS[best], margin=float(logits[best]) - second)


def _load(name: str, pretrained: str | None, device: str) -> tuple[Any, Any, Any]:
    """Model, validation transform and tokenizer; never with random weights."""
    model, preprocess = open_clip.create_model_from_pretrained(name, pretrained=pretrained, device=device)
    return model, preprocess, open_clip.get_tokenizer(name)


@contextmanager
def _clip_errors(name: str, pretrained: str | None) -> Iterator[None]:
    """Turn open_clip's exceptions, and its warning about QuickGELU, into one paragraph."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="QuickGELU mismatch", category=UserWarning)
            yield
    except UserWarning as warning:
        raise UsageError(
            f"The colour model {name!r} has another activation function than the weights {pretrained!r} "
            f"were trained with ({warning}). Use the -quickgelu variant: the scores would be silently "
            "wrong."
        ) from warning
    except (OSError, RuntimeError, ValueError) as error:
        raise UsageError(
            f"The colour model {name!r} with weights {pretrained!r} could not be loaded with trained "
            f"weights: {error} A judge with random weights would still print a score, so this stops."
        ) from error
