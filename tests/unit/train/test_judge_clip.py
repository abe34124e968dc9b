from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from selfe_eval.openmoji.sprites import load_sprite_bank
from selfe_eval.records import COLORS
from selfe_eval.resources import checkpoints_dir
from selfe_eval.score.colors import ColorClassifier
from selfe_eval.train.judge_clip import (
    ANY,
    ClipPreset,
    Sentence,
    claims,
    contrastive_loss,
    draw_sentences,
    object_crops,
    train,
)
from selfe_eval.train.judge_scenes import labelled_scenes
from selfe_eval.train.judge_training import JudgeRecipe

RED, BLUE = COLORS.index("red"), COLORS.index("blue")


def test_sentences_say_one_true_and_one_false_thing() -> None:
    """Of a coloured object the second sentence names another colour; of a natural one another class."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        true, false = draw_sentences(3, RED, generator)
        assert true.color_index == RED
        assert false.color_index not in (RED, ANY)
        plain, other = draw_sentences(3, ANY, generator)
        assert (plain.class_index, plain.color_index, other.color_index) == (3, ANY, ANY)
        assert other.class_index != 3


def test_claims_are_judged_by_what_they_say() -> None:
    """A sentence is true of every object it fits; of natural colours nothing is said either way."""
    sentences = [
        Sentence(text="", class_index=1, color_index=RED),
        Sentence(text="", class_index=ANY, color_index=RED),
        Sentence(text="", class_index=1, color_index=ANY),
        Sentence(text="", class_index=1, color_index=BLUE),
    ]
    allowed, true = claims([1, 2, 1], [RED, RED, ANY], sentences)
    assert true.tolist() == [
        [True, True, True, False],
        [False, True, False, False],
        [False, False, True, False],
    ]
    assert allowed[:2].all()
    assert allowed[2].tolist() == [False, False, True, False]


def test_the_loss_of_certain_and_right_is_zero() -> None:
    """Large logits on the true pairs leave nothing to learn, large ones elsewhere much."""
    true = torch.tensor([[True, False, True], [False, True, False]])
    everything = torch.ones_like(true)
    assert float(contrastive_loss(true * 50.0, true, everything)) < 0.8
    assert float(contrastive_loss(~true * 50.0, true, everything)) > 20.0


def test_crops_are_grey_outside_the_object() -> None:
    """One crop for each object, RGB bytes, with GenEval's grey around it."""
    batch = labelled_scenes(load_sprite_bank(), 16, seed=2)
    pixels = (batch.images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    crops, classes, colors = object_crops(batch, pixels, torch.Generator().manual_seed(0))
    assert len(crops) == len(classes) == len(colors) == int((batch.class_index >= 0).sum())
    assert all((crop == 153).all(axis=-1).any() for crop in crops)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_recipe_writes_what_the_classifier_loads(tmp_path: Path) -> None:
    """A few steps of the recipe give a folder that open_clip and our hash check accept."""
    preset = ClipPreset(
        loop=JudgeRecipe(num_steps=2, batch_size=4, learning_rate=1e-3),
        model_cfg={
            "embed_dim": 8,
            "vision_cfg": {"image_size": 16, "patch_size": 8, "width": 16, "head_width": 8, "layers": 1},
            "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
        },
    )
    threads = torch.get_num_threads()
    folder = train(preset, tmp_path, threads=1)
    torch.set_num_threads(threads)
    classifier = ColorClassifier.bundled(folder=folder)
    batch = labelled_scenes(load_sprite_bank(), 2, seed=2)
    pixels = (batch.images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    crops, classes, _ = object_crops(batch, pixels, torch.Generator().manual_seed(0))
    assert len(classifier.classify(crops, ["cat"] * len(classes))) == len(crops)


def test_the_preset_is_what_trained_the_bundled_weights() -> None:
    """Network, length, rate and seed of the bundled model are the recipe's own."""
    folder, preset = checkpoints_dir() / "openmoji-clip", ClipPreset()
    training = json.loads((folder / "config.json").read_text())["training"]
    network = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    assert network == preset.model_cfg
    assert (training["loop"], training["seed"]) == (asdict(preset.loop), preset.seed)
