"""mmdet's and transformers' Mask2Former on the same random weights, and what is refused.

Where the tolerances come from: with random weights at full size class logits differed by 7.1e-5 at a scale of 3.6, mask
logits by 3.9e-4 at a scale of 14.9 and scores by 1e-6 (torch 2.13, CPU); with the stronger weights of the small network
logits differ by up to 1e-5 of their scale, which is also how far either library is from float64, and scores by up to
1.6e-5 where masks agree (torch 2.15, CPU). So the bounds are 1e-4 of the scale for logits and 5e-5 for scores.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from selfe_eval.errors import UsageError
from selfe_eval.score.detectors.mask2former import Mask2FormerDetector, Network
from selfe_eval.score.detectors.mask2former_input import ResizeRule, prepare
from selfe_eval.score.detectors.mask2former_keys import names_from_mmdet
from selfe_eval.score.detectors.mmdet_mask2former import mmdet_network, packaged_config
from selfe_eval.score.detectors.protocol import Detections, RgbImages
from selfe_eval.score.detectors.registry import load_detector
from selfe_eval.score.detectors.transformers_mask2former import OTHER_SPELLINGS, load_hub_weights
from selfe_eval.score.detectors.transformers_network import empty_model, hub_network, official_network
from tests.unit.score.detectors.small_mask2former import mmdet2_names, random_tensors, small_config
from tests.unit.score.detectors.small_transformers import SMALL_SIZES

SMALL_RESIZE = ResizeRule(short_px=128, long_px=213)
"""The official 800 and 1333, times 0.16."""
FLOOR = 0.1
"""Well below GenEval's threshold of 0.3, and high enough for masks of more than a few pixels."""


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return random_tensors(small_config())


@pytest.fixture(scope="module")
def mmdet(tensors: dict[str, Tensor]) -> Network:
    return mmdet_network(tensors, config=small_config())


@pytest.fixture(scope="module")
def transformers(tensors: dict[str, Tensor]) -> Network:
    return official_network(tensors, sizes=SMALL_SIZES)


def _noise(height: int, width: int, *, grey: bool = False, num_images: int = 2) -> RgbImages:
    """Coarse color noise, which survives the resize; equal sizes give equal images."""
    rng = np.random.default_rng(height * 1000 + width)
    coarse = rng.integers(0, 256, (num_images, height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    pixels = coarse.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width]
    return RgbImages(pixels=np.repeat(pixels[..., :1], 3, axis=-1) if grey else np.ascontiguousarray(pixels))


def _swapped(images: RgbImages) -> RgbImages:
    return RgbImages(pixels=np.ascontiguousarray(images.pixels[..., ::-1]))


def _logits(network: Network, images: RgbImages, rule: ResizeRule = SMALL_RESIZE) -> tuple[Tensor, Tensor]:
    with torch.inference_mode():
        return network(prepare(images, rule=rule).pixels)


def _detect(network: Network, images: RgbImages) -> list[Detections]:
    detector = Mask2FormerDetector("any", network, device="cpu", record={}, resize=SMALL_RESIZE)
    return detector.detect(images, floor=FLOOR)


def _close(ours: Tensor, theirs: Tensor) -> bool:
    return bool((ours - theirs).abs().max() <= 1e-4 * theirs.abs().max())


def _agree(ours: Detections, theirs: Detections) -> bool:
    """Whether each detection of one side is there on the other, whatever the order: rounding may turn that.

    A pixel whose logit is nearly zero may fall on either side of a mask; it moves the mean inside by its share.
    """
    our_masks, their_masks = (
        side.masks.reshape(len(side.scores), -1).astype(np.float32) for side in (ours, theirs)
    )
    our_area, their_area = our_masks.sum(axis=1)[:, None], their_masks.sum(axis=1)
    flipped = (our_area + their_area - 2 * our_masks @ their_masks.T) / their_area.clip(1)
    matches = (
        (ours.class_index[:, None] == theirs.class_index)
        & (np.abs(ours.scores[:, None] - theirs.scores) <= 5e-5 + flipped)
        & (np.abs(ours.boxes[:, None] - theirs.boxes).max(axis=-1) <= 1)
        & (flipped <= 1e-3)
    )
    return len(ours.scores) == len(theirs.scores) and bool(
        matches.any(axis=0).all() and matches.any(axis=1).all()
    )


SHAPES = pytest.mark.parametrize(
    "images",
    [
        _noise(64, 64),
        _noise(60, 100),
        _noise(150, 70),
        _noise(3, 5),
        _noise(1, 1),
        _noise(50, 40, grey=True),
    ],
    ids=["square", "wide", "tall", "tiny", "one pixel", "grey"],
)


@SHAPES
def test_both_libraries_compute_the_same_logits(
    mmdet: Network, transformers: Network, images: RgbImages
) -> None:
    """The same weights give the same class and mask logits, whatever the shape of the images."""
    for ours, theirs in zip(_logits(transformers, images), _logits(mmdet, images), strict=True):
        assert ours.shape == theirs.shape
        assert _close(ours, theirs)


@SHAPES
def test_both_libraries_find_the_same_objects(
    mmdet: Network, transformers: Network, images: RgbImages
) -> None:
    """Classes, scores, boxes and masks agree."""
    for ours, theirs in zip(_detect(transformers, images), _detect(mmdet, images), strict=True):
        assert len(theirs.scores) > 0
        assert _agree(ours, theirs)


@SHAPES
def test_swapping_red_and_blue_is_noticed(
    mmdet: Network, transformers: Network, images: RgbImages, request: pytest.FixtureRequest
) -> None:
    """With the channels of one side swapped the logits disagree far beyond rounding, except for grey images."""
    swapped = _logits(transformers, _swapped(images))
    is_same = [_close(ours, theirs) for ours, theirs in zip(swapped, _logits(mmdet, images), strict=True)]
    assert is_same == [request.node.callspec.id == "grey"] * 2


def test_swapping_red_and_blue_changes_what_is_found(mmdet: Network, transformers: Network) -> None:
    """A swap anywhere between image and network would also show in the detections."""
    images = _noise(64, 64)
    theirs = _detect(mmdet, images)[0]
    assert _agree(_detect(transformers, images)[0], theirs)
    assert not _agree(_detect(transformers, _swapped(images))[0], theirs)


def test_images_of_a_batch_do_not_touch_each_other(transformers: Network) -> None:
    """A batch gives each image the logits it has alone, up to rounding."""
    images = _noise(60, 100, num_images=3)
    together = _logits(transformers, images)
    for index in range(3):
        alone = _logits(transformers, RgbImages(pixels=images.pixels[[index]]))
        assert all(_close(one, many[[index]]) for one, many in zip(alone, together, strict=True))


def test_a_missing_tensor_is_refused(tensors: dict[str, Tensor]) -> None:
    """No layer is left with random weights."""
    name = "panoptic_head.cls_embed.bias"
    partial = {key: tensor for key, tensor in tensors.items() if key != name}
    with pytest.raises(UsageError, match=r"class_predictor\.bias"):
        official_network(partial, sizes=SMALL_SIZES)


def test_a_tensor_too_many_is_refused(tensors: dict[str, Tensor]) -> None:
    """A checkpoint with more than this network is another network's."""
    with pytest.raises(UsageError, match=r"backbone\.extra"):
        official_network({**tensors, "backbone.extra": torch.zeros(1)}, sizes=SMALL_SIZES)


def test_names_of_mmdet_2_are_not_filled_in_silently(tensors: dict[str, Tensor]) -> None:
    """The failure behind many GenEval scores of zero, half the layers left random, is an error."""
    with pytest.raises(UsageError, match="missing"):
        official_network(mmdet2_names(tensors), sizes=SMALL_SIZES)


def test_a_checkpoint_of_another_size_is_refused(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    """A file with fewer channels than the official network's does not load as the official detector."""
    path = tmp_path / "small.pth"
    torch.save({"state_dict": tensors}, path)
    with pytest.raises(UsageError, match="not those of the official detector"):
        load_detector("transformers", weights=path)


@pytest.mark.parametrize("name", ["transformers", "hf-weights"])
def test_a_configuration_file_is_refused(name: str) -> None:
    """Neither detector takes one, and the message names the one that does."""
    with pytest.raises(UsageError, match=r"takes no configuration file.*--detector mmdet"):
        load_detector(name, config=Path("own.py"))


@pytest.fixture
def hub_folder(tensors: dict[str, Tensor], tmp_path: Path) -> Path:
    """The small network in the form of the hub: the names of transformers 4, and the classes of COCO."""
    model = empty_model(SMALL_SIZES)
    model.load_state_dict(names_from_mmdet(tensors), strict=False)
    model.save_pretrained(tmp_path)
    return tmp_path


def test_hub_weights_give_the_network_they_were_stored_from(
    hub_folder: Path, transformers: Network, capfd: pytest.CaptureFixture[str]
) -> None:
    """Files in the hub's form give the same logits, recorded as "hf-weights", and nothing is printed on the way."""
    capfd.readouterr()
    detector = load_hub_weights(weights=hub_folder, sizes=SMALL_SIZES)
    assert capfd.readouterr() == ("", "")
    described = detector.describe()
    assert described["detector"] == described["variant"] == "hf-weights"
    stored = hub_folder / "model.safetensors"
    assert described["weights_sha256"] == hashlib.sha256(stored.read_bytes()).hexdigest()
    images = _noise(64, 64)
    network = hub_network(load_file(stored), sizes=SMALL_SIZES)
    for ours, theirs in zip(_logits(network, images), _logits(transformers, images), strict=True):
        assert torch.equal(ours, theirs)


def _rename_classes(folder: Path, new_names: dict[str, str]) -> None:
    path = folder / "config.json"
    document = json.loads(path.read_text())
    document["id2label"] = {key: new_names.get(name, name) for key, name in document["id2label"].items()}
    path.write_text(json.dumps(document))


def test_classes_in_other_spellings_are_understood(hub_folder: Path) -> None:
    """Label files of the hub say sofa or mouse for classes that GenEval names otherwise."""
    _rename_classes(hub_folder, OTHER_SPELLINGS)
    assert load_hub_weights(weights=hub_folder, sizes=SMALL_SIZES).name == "hf-weights"


def test_another_order_of_classes_is_refused(hub_folder: Path) -> None:
    """Weights that count cats where COCO has dogs would give wrong verdicts without a trace."""
    _rename_classes(hub_folder, {"cat": "dog", "dog": "cat"})
    with pytest.raises(UsageError, match="'dog' as class 15, where COCO's order has 'cat'"):
        load_hub_weights(weights=hub_folder, sizes=SMALL_SIZES)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "is not JSON"),
        ("[]", "should name the classes"),
        ('{"id2label": {"0": "person"}}', "names 1 classes"),
    ],
)
def test_a_configuration_without_the_classes_is_refused(hub_folder: Path, text: str, complaint: str) -> None:
    """Without COCO's 80 class names nobody knows what a detection means."""
    (hub_folder / "config.json").write_text(text)
    with pytest.raises(UsageError, match=complaint):
        load_hub_weights(weights=hub_folder, sizes=SMALL_SIZES)


def test_hub_weights_that_lack_a_tensor_are_refused(hub_folder: Path) -> None:
    """A layer that the file does not fill is an error, not a warning."""
    path = hub_folder / "model.safetensors"
    stored = load_file(path)
    del stored["class_predictor.weight"]
    save_file(stored, path)
    with pytest.raises(UsageError, match=r"not those of the hub's.*missing: 1 \(class_predictor\.weight\)"):
        load_hub_weights(weights=hub_folder, sizes=SMALL_SIZES)


def test_a_folder_without_its_files_is_refused(tmp_path: Path) -> None:
    """The message says which files were expected."""
    with pytest.raises(UsageError, match=r"has no config\.json and no model\.safetensors"):
        load_detector("hf-weights", weights=tmp_path)


def test_without_a_connection_the_message_says_what_to_fetch(tmp_path: Path) -> None:
    """Offline, with an empty cache, the files, the place and the option are named."""
    program = (
        "from selfe_eval.errors import UsageError\n"
        "from selfe_eval.score.detectors.registry import load_detector\n"
        "try:\n"
        "    load_detector('hf-weights')\n"
        "except UsageError as error:\n"
        "    print(error)\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    for part in ("facebook/mask2former-swin-small-coco-instance", "model.safetensors", "--detector-weights"):
        assert part in result.stdout


@pytest.mark.slow
def test_the_backends_agree_at_full_size(tmp_path: Path) -> None:
    """Swin-S with 100 queries, from one file in the official 2.x names, on a square and on a padded image.

    With random weights a query's attention can hang on one pixel of an earlier mask whose logit is nearly zero; where
    rounding decides it, all queries end elsewhere. On one of three images tried, which is not among these, one
    library departed as far from itself when its input was made larger by one part in a million.
    """
    path = tmp_path / "random.pth"
    torch.save({"state_dict": mmdet2_names(random_tensors(packaged_config()))}, path)
    backends = [load_detector(name, weights=path) for name in ("transformers", "mmdet")]
    assert all(backend.describe()["variant"] == "unverified-weights" for backend in backends)
    for images in (_noise(500, 500, num_images=1), _noise(60, 80, num_images=1)):
        ours, theirs = (backend.detect(images, floor=FLOOR)[0] for backend in backends)
        assert len(theirs.scores) > 0
        assert _agree(ours, theirs)
