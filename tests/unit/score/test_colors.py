from __future__ import annotations

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
from selfe_eval.resources import checkpoints_dir
from selfe_eval.runs.judge import COLOR_MODES, ColorMode, JudgeOptions
from selfe_eval.runs.scores import protocol_of
from selfe_eval.score.color_model import ColorModel
from selfe_eval.score.colors import NEAR_TIE, TEMPLATES, ColorClassifier, ColorLabel, load_color_classifier


class _ByHeart(nn.Module):
    """A CLIP whose text vectors are the one-hot colours and whose image vector is told by the red channel."""

    def __init__(self, image_vectors: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._image_vectors = image_vectors
        self.num_text_calls = 0

    def encode_image(self, pixels: Tensor) -> Tensor:
        return self._image_vectors(pixels)

    def encode_text(self, tokens: Tensor) -> Tensor:
        self.num_text_calls += 1
        return torch.eye(len(COLORS) + 1)[tokens]


def _first_color(sentences: list[str]) -> Tensor:
    """The index of the colour each sentence names."""
    return torch.tensor(
        [next(i for i, color in enumerate(COLORS) if f"a {color}" in sentence) for sentence in sentences]
    )


def _red_level(image: Image.Image) -> Tensor:
    return torch.tensor(np.asarray(image)[0, 0, 0], dtype=torch.float32)


def _one_hot_of_red_level(levels: Tensor) -> Tensor:
    return torch.eye(len(COLORS) + 1)[levels.long()]


def _classifier(network: nn.Module, mode: ColorMode = "deterministic") -> ColorClassifier:
    model = ColorModel(network=network, preprocess=_red_level, tokenizer=_first_color, record={})
    return ColorClassifier(model, mode=mode)


def _with_logits(wanted: dict[str, float]) -> _ByHeart:
    """A network that gives these logits and otherwise 0; the rest of the unit vector faces no colour."""
    vector = torch.zeros(len(COLORS) + 1)
    for color, logit in wanted.items():
        vector[COLORS.index(color)] = logit / 100
    vector[-1] = (1 - vector.square().sum()).sqrt()
    return _ByHeart(lambda levels: vector.repeat(len(levels), 1))


def _crop(level: int) -> NDArray[np.uint8]:
    return np.full((4, 5, 3), level, np.uint8)


@pytest.mark.parametrize("mode", COLOR_MODES)
def test_each_crop_gets_the_color_whose_sentences_it_is_nearest_to(mode: ColorMode) -> None:
    """Labels follow the crops' order over batch borders, whatever their classes."""
    levels = [index % 10 for index in range(150)]
    labels = _classifier(_ByHeart(_one_hot_of_red_level), mode).classify(
        [_crop(level) for level in levels], ["car", "dog", "cup"] * 50
    )
    assert [label.color for label in labels] == [COLORS[level] for level in levels]
    assert labels[0].margin == pytest.approx(100.0)
    assert not labels[0].is_near_tie


def test_sentences_are_encoded_once() -> None:
    """Two templates name the class and are encoded once for each; the third one serves all classes."""
    network = _ByHeart(_one_hot_of_red_level)
    classifier = _classifier(network)
    for _ in range(3):
        classifier.classify([_crop(1)] * 4, ["car", "dog", "car", "dog"])
    assert network.num_text_calls == 2 * 2 + 1


@pytest.mark.parametrize("mode", COLOR_MODES)
def test_ties_go_to_the_earlier_color_and_are_marked(mode: ColorMode) -> None:
    """Equal logits resolve as the reference's argmax does, and say so."""
    network = _with_logits(dict.fromkeys(COLORS, 20))
    (label,) = _classifier(network, mode).classify([_crop(0)], ["car"])
    assert label == ColorLabel(color="red", margin=0.0)
    assert label.is_near_tie
    assert not ColorLabel(color="red", margin=NEAR_TIE).is_near_tie


def test_half_precision_logits_are_multiples_of_a_64th() -> None:
    """From 16 to 32, 16-bit floating point has steps of 1/64: margins of the reference mode are such steps."""
    rng = np.random.default_rng(0)
    margins = []
    for best in rng.uniform(16.5, 31.5, 50):
        network = _with_logits({"blue": float(best), "pink": float(best) - 0.3})
        (label,) = _classifier(network, "reference").classify([_crop(0)], ["car"])
        assert label.color == "blue"
        margins.append(label.margin)
    assert all(margin == round(margin * 64) / 64 for margin in margins)
    assert np.ptp(margins) <= 2 / 64
    assert np.mean(margins) == pytest.approx(0.3, abs=1 / 64)


def test_half_precision_can_turn_a_near_tie_to_the_earlier_color() -> None:
    """Logits less than 1/64 apart can be one number in 16 bits; both modes mark the case, the label may differ."""
    network = _with_logits({"red": 20.001, "white": 20.002})
    (exact,) = _classifier(network, "deterministic").classify([_crop(0)], ["car"])
    (rounded,) = _classifier(network, "reference").classify([_crop(0)], ["car"])
    assert exact.color == "white"
    assert exact.margin == pytest.approx(0.001, abs=1e-4)
    assert rounded == ColorLabel(color="red", margin=0.0)
    assert exact.is_near_tie
    assert rounded.is_near_tie


def test_no_crops_no_labels() -> None:
    """An image set in which no colour matters needs no model call."""
    assert _classifier(_ByHeart(_one_hot_of_red_level)).classify([], []) == []


def _colored_crops() -> list[NDArray[np.uint8]]:
    """Crops of many shapes: a disc of some colour on grey 153."""
    rng = np.random.default_rng(7)
    crops = []
    for _ in range(12):
        height, width = rng.integers(20, 90, 2)
        y, x = np.mgrid[:height, :width]
        inside = ((y / height - 0.5) ** 2 + (x / width - 0.5) ** 2 < 0.2)[..., np.newaxis]
        crops.append(np.where(inside, rng.integers(0, 256, 3), 153).astype(np.uint8))
    return crops


def test_crops_are_prepared_as_open_clip_does_and_judged_alike_alone_and_together() -> None:
    """A batch gives each crop open_clip's own validation transform; rounding aside, company changes nothing."""
    folder = checkpoints_dir() / "openmoji-clip"
    _, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    crops = _colored_crops()
    classifier = ColorClassifier.bundled()
    assert all(torch.equal(classifier._prepare(crop), transform(Image.fromarray(crop))) for crop in crops)
    together = classifier.classify(crops, ["car", "dog"] * 6)
    alone = [
        classifier.classify([crop], [name])[0] for crop, name in zip(crops, ["car", "dog"] * 6, strict=True)
    ]
    assert [label.color for label in together] == [label.color for label in alone]
    assert [label.margin for label in together] == pytest.approx([label.margin for label in alone], abs=1e-4)


def _as_the_reference(folder: Path, crop: NDArray[np.uint8], class_name: str) -> str:
    """One label as clip_benchmark 1.4.0 computes it: zeroshot_classifier and run_classification, in float32."""
    name = f"local-dir:{folder}"
    network, transform = open_clip.create_model_from_pretrained(name)
    tokenizer = open_clip.get_tokenizer(name)
    weights = []
    with torch.no_grad():
        for color in COLORS:
            sentences = [template.format(color=color, name=class_name) for template in TEMPLATES]
            embedding = nn.functional.normalize(network.encode_text(tokenizer(sentences)), dim=-1).mean(dim=0)
            weights.append(embedding / embedding.norm())
        image = nn.functional.normalize(network.encode_image(transform(Image.fromarray(crop))[None]), dim=-1)
        return COLORS[int((100.0 * image @ torch.stack(weights, dim=1)).argmax())]


@pytest.mark.parametrize("mode", COLOR_MODES)
def test_labels_are_those_of_the_reference_s_loop(mode: ColorMode) -> None:
    """One crop and one class at a time, written as clip_benchmark does it: the same colours in both modes."""
    folder = checkpoints_dir() / "openmoji-clip"
    crops = _colored_crops()[:4]
    labels = load_color_classifier("openmoji", JudgeOptions(color_mode=mode)).classify(crops, ["kite"] * 4)
    assert [label.color for label in labels if not label.is_near_tie] == [
        _as_the_reference(folder, crop, "kite")
        for crop, label in zip(crops, labels, strict=True)
        if not label.is_near_tie
    ]
    assert len({label.color for label in labels}) > 1


@pytest.mark.parametrize("mode", COLOR_MODES)
def test_the_bundled_detector_goes_with_the_bundled_colors(mode: ColorMode) -> None:
    """Without a choice, ``openmoji`` is asked with the bundled model, which is no variant."""
    record = load_color_classifier("openmoji", JudgeOptions(color_mode=mode)).describe()
    assert record["color_model"] == "openmoji-clip"
    assert record["color_mode"] == mode
    assert record["templates"] == list(TEMPLATES)
    assert record["releases"] == {"open_clip": open_clip.__version__}
    assert "color_config_sha256" in record
    assert open_clip.__version__ not in map(str, protocol_of(record).values())
    assert "color_variant" not in record


def test_the_bundled_folder_may_be_named_for_any_detector() -> None:
    """A folder is an open_clip model; the bundled one is itself, whatever way it was named."""
    folder = checkpoints_dir() / "openmoji-clip"
    named = load_color_classifier("mmdet", JudgeOptions(color_weights=str(folder)))
    assert named.describe() == load_color_classifier("openmoji", JudgeOptions()).describe()


def test_weights_that_are_not_there_are_refused(tmp_path: Path) -> None:
    """A path of nothing is an error before anything is built."""
    with pytest.raises(UsageError, match="Expected a weight file"):
        load_color_classifier("mmdet", JudgeOptions(color_weights=str(tmp_path / "none.safetensors")))
