from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from selfe_eval.openmoji.sprites import load_sprite_bank
from selfe_eval.resources import checkpoints_dir
from selfe_eval.score.detectors.openmoji import OpenmojiDetector
from selfe_eval.score.detectors.openmoji_network import (
    NetworkOptions,
    OpenmojiNetwork,
    RawOutput,
    cell_centers,
)
from selfe_eval.score.detectors.protocol import RgbImages, Thresholds
from selfe_eval.train import judge_thresholds
from selfe_eval.train.judge_detector import (
    DetectorPreset,
    center_cells,
    center_targets,
    detector_losses,
    train,
)
from selfe_eval.train.judge_scenes import LabelledImages, labelled_scenes, with_unreal
from selfe_eval.train.judge_spoil import spoil
from selfe_eval.train.judge_training import JudgeRecipe, JudgeTraining, train_network


@pytest.fixture(scope="module")
def batch() -> LabelledImages:
    return labelled_scenes(load_sprite_bank(), 32, seed=5)


def _perfect(batch: LabelledImages) -> RawOutput:
    """What a network would say that knows the truth."""
    size = len(batch.images)
    classes, edges = torch.zeros(size, 80, 16, 16), torch.ones(size, 4, 16, 16)
    coefficients, prototypes = torch.zeros(size, 4, 16, 16), torch.zeros(size, 4, 32, 32)
    centers, cells = cell_centers(), center_cells(batch)
    for image, slot in torch.nonzero(batch.class_index >= 0).tolist():
        column, row = cells[image, slot].tolist()
        near = (slice(max(row - 1, 0), row + 2), slice(max(column - 1, 0), column + 2))
        classes[image, int(batch.class_index[image, slot])][near] = 20.0
        box = batch.boxes[image, slot][:, None, None]
        here = centers[:, near[0], near[1]]
        edges[image][:, near[0], near[1]] = torch.cat((here - box[:2], box[2:] - here))
        coefficients[image, slot][near] = 1.0
        filled = torch.nn.functional.avg_pool2d(batch.masks[image, slot][None].float(), 2)[0]
        prototypes[image, slot] = torch.logit(filled, eps=1e-4)
    heat = center_targets(batch)
    return RawOutput(
        centers=torch.where(heat == 1, 12.0, -12.0),
        classes=classes,
        edges=edges,
        coefficients=coefficients,
        prototypes=prototypes,
    )


def test_the_truth_has_almost_no_loss(batch: LabelledImages) -> None:
    """A network that says the truth is not corrected, except for masks of half covered pixels."""
    losses = detector_losses(_perfect(batch), batch)
    assert float(losses["centers"]) < 1e-3
    assert float(losses["classes"]) < 1e-3
    assert float(losses["boxes"]) < 1e-3
    assert float(losses["masks"]) < 0.2


def test_every_object_has_one_centre(batch: LabelledImages) -> None:
    """The target is exactly 1 in one cell for each object, and nowhere above."""
    heat = center_targets(batch)
    assert float(heat.max()) == 1.0
    assert torch.equal((heat == 1).sum(dim=(1, 2)), (batch.class_index >= 0).sum(dim=1))


def test_unreal_images_have_no_objects(batch: LabelledImages) -> None:
    """The first part of a batch loses its labels and changes; the rest stays as it was."""
    unreal = with_unreal(batch, torch.Generator().manual_seed(0))
    assert (unreal.class_index[:5] == -1).all()
    assert torch.equal(unreal.class_index[5:], batch.class_index[5:])
    assert torch.equal(unreal.images[5:], batch.images[5:])
    changed = (unreal.images[:5] - batch.images[:5]).abs().amax(dim=(1, 2, 3))
    assert (changed > 0.01).all()
    assert 0 <= float(unreal.images.min()) <= float(unreal.images.max()) <= 1


def test_a_batch_of_nothing_has_a_finite_loss(batch: LabelledImages) -> None:
    """Without any object only the centres are trained."""
    nothing = replace(batch, class_index=torch.full_like(batch.class_index, -1))
    losses = detector_losses(_perfect(batch), nothing)
    assert set(losses) == {"loss", "centers"}
    assert torch.isfinite(losses["loss"])


def test_spoilt_images_stay_images(batch: LabelledImages) -> None:
    """Spoiling keeps shape and range, is decided by the generator alone, and leaves some images clean."""
    one = spoil(batch.images, torch.Generator().manual_seed(3))
    two = spoil(batch.images, torch.Generator().manual_seed(3))
    assert torch.equal(one, two)
    assert one.shape == batch.images.shape
    assert 0 <= float(one.min()) <= float(one.max()) <= 1
    same = (one == batch.images).flatten(1).all(dim=1)
    assert 0 < int(same.sum()) < len(same)


def test_a_few_scenes_are_learnt_in_seconds(tmp_path: Path) -> None:
    """Shown the same scenes again and again, the detector finds their objects: the whole chain can learn."""
    torch.manual_seed(0)
    network = OpenmojiNetwork(NetworkOptions(fine_width=16, middle_width=32, coarse_width=64))
    scenes = labelled_scenes(load_sprite_bank(), 8, seed=5)
    recipe = JudgeRecipe(num_steps=120, batch_size=8, learning_rate=3e-3, warmup_steps=10)
    train_network(
        JudgeTraining(network, lambda _step: detector_losses(network(scenes.images), scenes), recipe, seed=0),
        tmp_path,
    )
    found = OpenmojiDetector(network, Thresholds(confidence=0.3, counting=0.3)).detect(_as_pixels(scenes))
    for truth, seen in zip(scenes.class_index, found, strict=True):
        confident = seen.class_index[seen.scores > 0.3]
        assert np.array_equal(np.sort(confident), np.sort(truth[truth >= 0].numpy()))


def _as_pixels(scenes: LabelledImages) -> RgbImages:
    pixels = (scenes.images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    return RgbImages(pixels=pixels)


def test_the_recipe_writes_what_the_detector_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few steps of both parts give a folder with weights, thresholds and what was done."""
    monkeypatch.setattr(judge_thresholds, "NUM_SCENES", 16)
    loop = JudgeRecipe(num_steps=2, batch_size=32, learning_rate=1e-3)
    preset = DetectorPreset(
        network=NetworkOptions(fine_width=8, middle_width=8, coarse_width=8), loop=loop, crowd_loop=loop
    )
    threads = torch.get_num_threads()
    folder = train(preset, tmp_path, threads=1)
    torch.set_num_threads(threads)
    detector = OpenmojiDetector.from_folder(folder)
    assert len(detector.detect(RgbImages(pixels=np.zeros((3, 64, 64, 3), np.uint8)))) == 3
    assert json.loads((folder / "config.json").read_text())["training"]["images_seen"] == 128


def test_crowded_scenes_hold_up_to_six_objects() -> None:
    """A share of 1 shows two to six objects in every scene, none of them overlapping."""
    crowded = labelled_scenes(load_sprite_bank(), 64, seed=6, crowded_share=1.0)
    number = (crowded.class_index >= 0).sum(dim=1)
    assert set(number.tolist()) == {2, 3, 4, 5, 6}
    assert int(crowded.masks.sum(dim=1).max()) == 1


def test_the_preset_is_what_trained_the_bundled_weights() -> None:
    """Network, lengths, rates and seeds in the bundled ``config.json`` are the recipe's own."""
    config = json.loads((checkpoints_dir() / "openmoji-detector" / "config.json").read_text())
    preset = asdict(DetectorPreset())
    assert config["network"] == preset["network"]
    for name in ("seed", "threshold_seed", "loop", "crowd_loop"):
        assert config["training"][name] == preset[name]
