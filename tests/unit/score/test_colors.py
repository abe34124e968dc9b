from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from selfe_eval.errors import UsageError
from selfe_eval.records import COLORS
from selfe_eval.score.colors import NEAR_TIE, ColorClassifier, ColorLabel

TINY = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 16, "patch_size": 8, "width": 16, "head_width": 8, "layers": 1},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
}


class _ByHeart(nn.Module):
    """A CLIP whose text vectors are the one-hot colours and whose image vector is told by the red channel."""

    def __init__(self, image_vectors: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._image_vectors = image_vectors
        self.num_text_calls = 0

    def encode_image(self, pixels: Tensor, *, normalize: bool) -> Tensor:
        assert normalize
        return self._image_vectors(pixels)

    def encode_text(self, tokens: Tensor, *, normalize: bool) -> Tensor:
        assert normalize
        self.num_text_calls += 1
        return torch.eye(len(COLORS))[tokens]


def _first_color(sentences: list[str]) -> Tensor:
    """The index of the colour each sentence names."""
    return torch.tensor(
        [next(i for i, color in enumerate(COLORS) if f"a {color}" in sentence) for sentence in sentences]
    )


def _red_level(image: Image.Image) -> Tensor:
    return torch.tensor(np.asarray(image)[0, 0, 0], dtype=torch.float32)


def _one_hot_of_red_level(levels: Tensor) -> Tensor:
    return torch.eye(len(COLORS))[levels.long()]


def _crop(level: int) -> NDArray[np.uint8]:
    return np.full((4, 5, 3), level, np.uint8)


def test_each_crop_gets_the_color_whose_sentences_it_is_nearest_to() -> None:
    """Labels follow the crops' order over batch borders, whatever their classes."""
    model = _ByHeart(_one_hot_of_red_level)
    classifier = ColorClassifier(model, _red_level, _first_color)
    levels = [index % 10 for index in range(150)]
    labels = classifier.classify([_crop(level) for level in levels], ["car", "dog", "cup"] * 50)
    assert [label.color for label in labels] == [COLORS[level] for level in levels]
    assert labels[0].margin == pytest.approx(100.0)
    assert not labels[0].is_near_tie


def test_sentences_are_encoded_once_for_each_class() -> None:
    """The text classifier of a class is kept."""
    model = _ByHeart(_one_hot_of_red_level)
    classifier = ColorClassifier(model, _red_level, _first_color)
    for _ in range(3):
        classifier.classify([_crop(1)] * 4, ["car", "dog", "car", "dog"])
    assert model.num_text_calls == 2


def test_ties_go_to_the_earlier_color_and_are_marked() -> None:
    """Equal logits resolve as the reference's argmax does, and say so."""
    model = _ByHeart(lambda levels: torch.ones(len(levels), len(COLORS)))
    (label,) = ColorClassifier(model, _red_level, _first_color).classify([_crop(0)], ["car"])
    assert label == ColorLabel(color="red", margin=0.0)
    assert label.is_near_tie
    assert not ColorLabel(color="red", margin=NEAR_TIE).is_near_tie


def test_no_crops_no_labels() -> None:
    """An image set in which no colour matters needs no model call."""
    model = _ByHeart(_one_hot_of_red_level)
    assert ColorClassifier(model, _red_level, _first_color).classify([], []) == []


def _local_dir(folder: Path) -> Path:
    torch.manual_seed(0)
    config = {"model_cfg": TINY, "preprocess_cfg": {"size": 16}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.save(open_clip.CLIP(**TINY).state_dict(), folder / "open_clip_pytorch_model.bin")
    return folder


def test_a_local_folder_is_an_open_clip_model(tmp_path: Path) -> None:
    """``local-dir:`` loads network, transform and tokenizer without a network connection."""
    classifier = ColorClassifier.from_open_clip(f"local-dir:{_local_dir(tmp_path)}")
    (label,) = classifier.classify([_crop(200)], ["traffic light"])
    assert label.color in COLORS
    assert classifier.describe()["open_clip"] == open_clip.__version__


def test_a_model_without_weights_is_refused(tmp_path: Path) -> None:
    """open_clip would warn and go on with random weights; we stop."""
    (_local_dir(tmp_path) / "open_clip_pytorch_model.bin").unlink()
    with pytest.raises(UsageError, match="trained weights"):
        ColorClassifier.from_open_clip(f"local-dir:{tmp_path}")


def test_weights_of_another_activation_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """ViT-L-14 with OpenAI's tag warns of a QuickGELU mismatch: an error here."""

    def warn(*_args: object, **_options: object) -> None:
        import warnings

        warnings.warn("QuickGELU mismatch between final model config", UserWarning, stacklevel=1)

    monkeypatch.setattr(open_clip, "create_model_from_pretrained", warn)
    with pytest.raises(UsageError, match="quickgelu variant"):
        ColorClassifier.from_open_clip("ViT-L-14", "openai")
