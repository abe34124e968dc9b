from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torch import Tensor, nn
from torchmetrics.functional.multimodal import clip_score as torchmetrics_clip_score

from selfe_eval.errors import UsageError
from selfe_eval.openmoji.scenes import SceneBatch, render
from selfe_eval.openmoji.sprites import load_sprite_bank
from selfe_eval.openmoji.suite_scenes import broken_scenes_for, scenes_for_prompts
from selfe_eval.score.clip_model import ClipModel, bundled_model
from selfe_eval.score.clip_score import PROTOCOLS, clip_scores, mean_score, protocol_for
from selfe_eval.score.detectors.protocol import RgbImages
from selfe_eval.score.features.clip_towers import ClipExtractor, load_openmoji
from selfe_eval.score.features.registry import EXTRACTORS
from selfe_eval.score.spread import spreads
from selfe_eval.suites.registry import load_suite

IMAGES = np.array([[3.0, 4.0], [-3.0, 4.0]])
TEXTS = np.array([[2.0, 0.0], [1.0, 0.0]])
"""Cosines 0.6 and -0.6."""


@pytest.mark.parametrize(
    ("name", "expected", "mean"),
    [
        ("default", [60.0, 0.0], 30.0),
        ("hessel", [1.5, 0.0], 0.75),
        ("torchmetrics", [60.0, -60.0], 0.0),
        ("dmd2", [0.6, -0.6], 0.0),
    ],
)
def test_each_protocol_has_its_own_scale_and_clamp(name: str, expected: list[float], mean: float) -> None:
    """Of one cosine the protocols make 60, 1.5 and 0.6, and they differ in what becomes of its opposite."""
    scores = clip_scores(IMAGES, TEXTS, PROTOCOLS[name])
    assert scores == pytest.approx(expected)
    assert mean_score(scores, PROTOCOLS[name].clamp) == pytest.approx(mean)


def test_only_torchmetrics_clamps_the_mean() -> None:
    """A set of images that fits its prompts worse than not at all has 0 by torchmetrics and less by DMD2."""
    scores = np.array([0.1, -0.3])
    assert mean_score(scores, PROTOCOLS["torchmetrics"].clamp) == 0.0
    assert mean_score(scores, PROTOCOLS["dmd2"].clamp) == pytest.approx(-0.1)


@pytest.mark.parametrize(
    ("protocol", "suite", "name", "extractor"),
    [
        ("default", "geneval", "clip-score", "clip-vit-l-14"),
        ("default", "openmoji", "clip-score[openmoji-clip]", "openmoji-clip"),
        ("default", "openmoji[rewritten]", "clip-score[openmoji-clip]", "openmoji-clip"),
        ("hessel", "geneval", "clip-score[hessel]", "clip-vit-b-32"),
        ("torchmetrics", "geneval", "clip-score[torchmetrics]", "clip-vit-l-14"),
        ("dmd2", "openmoji", "clip-score[dmd2]", "clip-vit-g-14-256"),
    ],
)
def test_a_protocol_is_part_of_the_name(protocol: str, suite: str, name: str, extractor: str) -> None:
    """Only the default on photographs has the bare name; a published protocol keeps its network everywhere."""
    measured, found = protocol_for(protocol, suite)
    assert (measured.name, measured.extractor, found.name) == (name, extractor, protocol)
    assert extractor in EXTRACTORS


def test_an_extractor_may_be_chosen_for_the_default_alone() -> None:
    """A published protocol with another network would not be that protocol."""
    assert protocol_for("default", "geneval", "clip-score[clip-vit-b-32]")[0].extractor == "clip-vit-b-32"
    assert protocol_for("hessel", "geneval", "clip-score[clip-vit-b-32]")[0].name == "clip-score[hessel]"
    with pytest.raises(UsageError, match="hessel is defined with the extractor clip-vit-b-32"):
        protocol_for("hessel", "geneval", "clip-score[clip-vit-l-14]")


def test_the_name_in_tables_is_understood_as_far_as_it_goes() -> None:
    """Who types a metric as tables print it gets that protocol, or is told which option asks for it."""
    assert protocol_for("hessel", "geneval", "clip-score[hessel]")[0].name == "clip-score[hessel]"
    assert protocol_for("default", "geneval", "clip-score[default]")[0].name == "clip-score"
    with pytest.raises(UsageError, match="clip-score with --clip-protocol hessel"):
        protocol_for("default", "geneval", "clip-score[hessel]")
    with pytest.raises(UsageError, match="clip-score with --clip-protocol default"):
        protocol_for("hessel", "geneval", "clip-score[default]")


def test_an_unknown_protocol_is_named_with_what_was_probably_meant() -> None:
    """Names are looked up, never guessed."""
    with pytest.raises(UsageError, match=r"CLIP-score protocol 'hessl'\. Did you mean 'hessel'"):
        protocol_for("hessl", "geneval")


def test_the_record_names_everything_but_the_network() -> None:
    """Words before the prompt, factor and clamp are part of what a score is identified by."""
    assert PROTOCOLS["hessel"].as_json() == {
        "name": "hessel",
        "prefix": "A photo depicts ",
        "scale": 2.5,
        "clamp": "image",
    }


PROMPTS = load_suite("openmoji").prompts[::9]
"""62 prompts of all six tasks."""


@pytest.fixture(scope="module")
def towers() -> ClipExtractor:
    return load_openmoji("cpu", None)


@pytest.fixture(scope="module")
def scenes() -> NDArray[np.uint8]:
    """A true scene for each prompt."""
    return _pixels(scenes_for_prompts(PROMPTS, seed=0))


@pytest.fixture(scope="module")
def texts(towers: ClipExtractor) -> NDArray[np.float32]:
    """The vectors of the prompts, under the prefix of no protocol."""
    return towers.read([prompt.text for prompt in PROMPTS]).features


def _pixels(batch: SceneBatch) -> NDArray[np.uint8]:
    return render(load_sprite_bank(), batch).permute(0, 2, 3, 1).contiguous().numpy()


def _scores(
    towers: ClipExtractor, pixels: NDArray[np.uint8], texts: NDArray[np.float32]
) -> NDArray[np.float64]:
    return clip_scores(towers.extract(RgbImages(pixels=pixels)), texts, PROTOCOLS["default"])


def _blurred(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(5)))


def test_another_prompt_s_text_lowers_the_score(
    towers: ClipExtractor, scenes: NDArray[np.uint8], texts: NDArray[np.float32]
) -> None:
    """Images with each other's captions fit worse: measured, 10 points in the place of 74."""
    right, wrong = _scores(towers, scenes, texts), _scores(towers, scenes, np.roll(texts, 31, axis=0))
    assert right.mean() > wrong.mean() + 50
    assert np.mean(right > wrong) > 0.9


@pytest.mark.parametrize("damage", ["noise", "blur"])
def test_damaged_images_score_lower(
    towers: ClipExtractor, scenes: NDArray[np.uint8], texts: NDArray[np.float32], damage: str
) -> None:
    """Strong noise and strong blur hide what the prompt asks for; measured, 55 and 57 points in the place of 74."""
    if damage == "noise":
        noise = np.random.default_rng(0).normal(0, 80, scenes.shape)
        damaged = np.clip(scenes + noise, 0, 255).astype(np.uint8)
    else:
        damaged = np.stack([_blurred(image) for image in scenes])
    assert _scores(towers, damaged, texts).mean() < _scores(towers, scenes, texts).mean() - 10


@pytest.mark.parametrize("kind", ["class", "color"])
def test_one_wrong_thing_lowers_the_score_of_its_image(towers: ClipExtractor, kind: str) -> None:
    """Beside the true scene, a scene with one object of another class or colour fits its prompt worse.

    Measured, by 22 and 49 points; of one object too many and of the wrong side the bundled model knows nothing.
    """
    pairs = [
        (prompt, broken)
        for prompt in PROMPTS
        for found, broken in broken_scenes_for(prompt, seed=1)
        if found == kind
    ]
    asked = [prompt for prompt, _ in pairs]
    texts = towers.read([prompt.text for prompt in asked]).features
    true = _scores(towers, _pixels(scenes_for_prompts(asked, seed=1)), texts)
    broken = _scores(towers, np.concatenate([_pixels(scene) for _, scene in pairs]), texts)
    assert np.mean(broken - true) < -10
    assert np.mean(broken < true) > 0.7


def test_a_collapsed_model_has_no_spread(towers: ClipExtractor) -> None:
    """One image for every seed spreads by zero; different scenes of one prompt spread by more."""
    several = _pixels(scenes_for_prompts([PROMPTS[0]] * 4, seed=2))
    distinct = spreads(towers.extract(RgbImages(pixels=several)))
    collapsed = spreads(np.repeat(towers.extract(RgbImages(pixels=several[:1])), 4, axis=0))
    assert collapsed.tolist() == [0.0] * 4
    assert distinct.min() > 0.001


class _Processor:
    """The bundled model's transform and tokenizer, as torchmetrics asks for them."""

    def __init__(self, model: ClipModel) -> None:
        self._model = model

    def __call__(self, *, images: Any = None, text: Any = None, **_: object) -> dict[str, Tensor]:
        if text is not None:
            tokens = self._model.tokenizer(text)
            return {"input_ids": tokens, "attention_mask": tokens != 0}
        pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
        return {"pixel_values": torch.stack([self._model.preprocess(picture) for picture in pictures])}


class _Network(nn.Module):
    """The bundled model's network, as torchmetrics calls it; with the sign -1 it means the opposite of each text."""

    config = None

    def __init__(self, model: ClipModel, sign: int) -> None:
        super().__init__()
        self._network = model.network
        self._sign = sign

    def get_image_features(self, pictures: Tensor) -> Tensor:
        return self._network.encode_image(pictures)  # type: ignore[no-any-return]

    def get_text_features(self, tokens: Tensor, _mask: Tensor) -> Tensor:
        return self._sign * self._network.encode_text(tokens)  # type: ignore[no-any-return]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("captions", ["right", "wrong"])
def test_the_score_is_torchmetrics_s_on_its_protocol(
    towers: ClipExtractor, scenes: NDArray[np.uint8], sign: int, captions: str
) -> None:
    """The same network, transform and tokenizer give torchmetrics 1.9 our number to 1e-6.

    Captions that are wrong, and the opposite of those that are right, have a negative mean, which becomes zero.
    """
    prompts = [prompt.text for prompt in PROMPTS]
    if captions == "wrong":
        prompts = prompts[31:] + prompts[:31]
    protocol = PROTOCOLS["torchmetrics"]
    images = towers.extract(RgbImages(pixels=scenes))
    ours = mean_score(clip_scores(images, sign * towers.read(prompts).features, protocol), protocol.clamp)

    model = bundled_model()
    model.network.eval()
    loaded: Any = lambda: (_Network(model, sign), _Processor(model))  # noqa: E731 - their type names two classes
    pixels = [torch.from_numpy(image).permute(2, 0, 1) for image in scenes]
    with torch.inference_mode():
        theirs = float(torchmetrics_clip_score(pixels, prompts, loaded))
    assert ours == pytest.approx(theirs, rel=1e-6)
    assert (theirs == 0.0) is ((sign == -1) == (captions == "right"))
