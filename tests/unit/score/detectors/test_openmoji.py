"""The bundled judge with its committed weights, on rendered scenes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from selfe_eval.errors import UsageError
from selfe_eval.openmoji.scenes import render
from selfe_eval.openmoji.sprites import load_sprite_bank
from selfe_eval.openmoji.suite_scenes import scenes_for_prompts
from selfe_eval.records import Prompt
from selfe_eval.resources import checkpoints_dir
from selfe_eval.score.colors import ColorClassifier
from selfe_eval.score.detectors.openmoji import OpenmojiDetector, load
from selfe_eval.score.detectors.protocol import RgbImages
from selfe_eval.score.geneval_scorer import GenEvalScorer, build_scorer
from selfe_eval.suites.registry import load_suite


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    return list(load_suite("openmoji").prompts[::11])


@pytest.fixture(scope="module")
def pixels(prompts: list[Prompt]) -> NDArray[np.uint8]:
    scenes = scenes_for_prompts(prompts, seed=77)
    rendered: NDArray[np.uint8] = render(load_sprite_bank(), scenes).permute(0, 2, 3, 1).contiguous().numpy()
    return rendered


@pytest.fixture(scope="module")
def detector() -> OpenmojiDetector:
    return load()


def test_rendered_truth_is_judged_right(prompts: list[Prompt], pixels: NDArray[np.uint8]) -> None:
    """At least 95 % of 51 scenes that show what their prompt asks are scored correct (all tasks)."""
    scores = build_scorer("openmoji").score(RgbImages(pixels=pixels), prompts)
    assert np.mean([score.correct is True for score in scores]) >= 0.95


def test_swapped_channels_are_noticed(prompts: list[Prompt], pixels: NDArray[np.uint8]) -> None:
    """With red and blue exchanged the colour tasks collapse, so a channel swap cannot pass the calibration."""
    colored = [index for index, prompt in enumerate(prompts) if prompt.task in ("colors", "color_attr")]
    swapped = RgbImages(pixels=np.ascontiguousarray(pixels[colored][..., ::-1]))
    scores = build_scorer("openmoji").score(swapped, [prompts[index] for index in colored])
    assert np.mean([score.correct is True for score in scores]) < 0.6


def test_detection_does_not_depend_on_the_batch(
    detector: OpenmojiDetector, pixels: NDArray[np.uint8]
) -> None:
    """One by one and all together give the same objects, boxes and (to rounding) scores; twice is the same."""
    together = detector.detect(RgbImages(pixels=pixels[:12]))
    again = detector.detect(RgbImages(pixels=pixels[:12]))
    for index, (found, repeated) in enumerate(zip(together, again, strict=True)):
        (alone,) = detector.detect(RgbImages(pixels=pixels[index : index + 1]))
        assert np.array_equal(found.scores, repeated.scores)
        sure = alone.scores > 0.1
        assert np.array_equal(alone.class_index[sure], found.class_index[found.scores > 0.1])
        assert np.allclose(alone.scores[sure], found.scores[found.scores > 0.1], atol=1e-4)
        assert np.abs(alone.boxes[sure] - found.boxes[found.scores > 0.1]).max(initial=0) <= 1


def test_boxes_and_masks_keep_their_promises(detector: OpenmojiDetector, pixels: NDArray[np.uint8]) -> None:
    """Scores in [0, 1], whole-pixel boxes inside the image, masks inside their boxes and of the image's size."""
    for found in detector.detect(RgbImages(pixels=pixels)):
        assert found.masks.shape == (len(found.scores), 64, 64)
        assert ((found.scores >= 0) & (found.scores <= 1)).all()
        assert ((found.boxes >= 0) & (found.boxes <= 64) & (found.boxes == found.boxes.round())).all()
        for box, mask in zip(found.boxes.astype(int), found.masks, strict=True):
            x0, y0, x1, y1 = box
            assert mask[y0:y1, x0:x1].sum() == mask.sum() > 0


def test_no_objects_are_seen_in_nothing(detector: OpenmojiDetector) -> None:
    """Plain colour and plain noise hold no object above the confidence threshold."""
    noise = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)
    plain = np.repeat(np.arange(0, 256, 32, dtype=np.uint8), 64 * 64 * 3).reshape(8, 64, 64, 3)
    for found in detector.detect(RgbImages(pixels=np.concatenate([noise, plain]))):
        assert not (found.scores > detector.thresholds.confidence).any()


def test_another_size_is_refused(detector: OpenmojiDetector) -> None:
    """The judge of 64 px scenes does not pretend to judge photographs."""
    with pytest.raises(UsageError, match="512 x 256 px"):
        detector.detect(RgbImages(pixels=np.zeros((1, 256, 512, 3), np.uint8)))


def _load_clip(folder: Path) -> ColorClassifier:
    return ColorClassifier.bundled(folder=folder)


@pytest.mark.parametrize(
    ("name", "load_folder"),
    [("openmoji-detector", OpenmojiDetector.from_folder), ("openmoji-clip", _load_clip)],
)
def test_corrupt_weights_are_refused(
    tmp_path: Path, name: str, load_folder: Callable[[Path], object]
) -> None:
    """A bundled file with one other byte is an error that says so, not a random judge."""
    folder = tmp_path / name
    shutil.copytree(checkpoints_dir() / name, folder)
    (path,) = folder.glob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(UsageError, match="SHA-256"):
        load_folder(folder)


def test_the_weights_are_small() -> None:
    """The detector takes at most 3.1 MB and the colour model at most 4 MB of the repository."""
    sizes = {
        name: next((checkpoints_dir() / name).glob("*.safetensors")).stat().st_size
        for name in ("openmoji-detector", "openmoji-clip")
    }
    assert sizes["openmoji-detector"] <= 3_100_000
    assert sizes["openmoji-clip"] <= 4_000_000


def test_what_is_recorded_names_weights_and_thresholds(detector: OpenmojiDetector) -> None:
    """The record holds the hash of the weights, the thresholds, the device and the version of torch."""
    record = detector.describe()
    assert set(record) == {"detector", "name", "weights_sha256", "thresholds", "device", "torch"}
    assert record["torch"] == str(torch.__version__)
    assert isinstance(build_scorer(), GenEvalScorer)


def test_weights_of_one_s_own_are_a_variant(tmp_path: Path) -> None:
    """Only the bundled folder, wherever it is named, gives scores without another name."""
    bundled = checkpoints_dir() / "openmoji-detector"
    copy = Path(shutil.copytree(bundled, tmp_path / "copy"))
    assert "variant" not in load(weights=bundled).describe()
    assert load(weights=copy).describe()["variant"] == "own-detector"


@pytest.mark.parametrize(
    "change", [{"network": {"depth": 3}}, {"thresholds": None}, {"thresholds": {"low": 1}}]
)
def test_a_folder_that_describes_no_detector_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    """Settings that the network or the rules do not take are one paragraph that names the folder."""
    copy = Path(shutil.copytree(checkpoints_dir() / "openmoji-detector", tmp_path / "copy"))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(UsageError, match="does not describe a detector"):
        load(weights=copy)


def test_a_file_is_no_folder_of_weights(tmp_path: Path) -> None:
    """The weights of this detector are a folder; a file is refused as a wrong option, not as a full disk."""
    (tmp_path / "detector.pth").write_bytes(b"")
    with pytest.raises(UsageError, match="is not a checkpoint folder"):
        load(weights=tmp_path / "detector.pth")
