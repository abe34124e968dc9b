"""Preset ``openmoji-autoencoder``: the autoencoder that both bundled generators share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from selfe.autoencoder import Autoencoder, AutoencoderConfig, to_unit_range
from selfe.training.autoencoder import AutoencoderRecipe, AutoencoderTraining
from selfe.training.loop import LoopEvent, LoopOptions, train
from selfe_eval.openmoji.scenes import SceneBatch, render
from selfe_eval.openmoji.sprites import load_sprite_bank
from selfe_eval.openmoji.training_scenes import held_out_color_table, sample_training_scenes
from selfe_eval.records import COLORS

CONFIG = AutoencoderConfig()
RECIPE = AutoencoderRecipe(num_steps=1800, seed=1)
BATCH_SIZE = 32
WEIGHTS_FILE = "autoencoder.safetensors"
STATISTICS_SCENES = 1024
"""Scenes whose latents decide the standardisation."""


class SceneImages:
    """Fresh training scenes for every step; implements ``selfe.training.autoencoder.ImageSource``."""

    def __init__(self, batch_size: int, seed: int) -> None:
        self._bank = load_sprite_bank()
        self._batch_size = batch_size
        self._seed = seed

    def images(self, step: int) -> Tensor:
        """uint8 (B, 3, 64, 64), a function of (seed, step); held-out class-colour pairs never appear."""
        seed = self._seed * 1_000_003 + step
        scenes = sample_training_scenes(self._batch_size, seed, include_held_out=False).scenes
        return render(self._bank, repaint(scenes, torch.Generator().manual_seed(seed)))


def repaint(scenes: SceneBatch, generator: torch.Generator) -> SceneBatch:
    """Half of the objects in another colour, except where the class-colour pair is held out.

    Captions play no part here, and colours are what an autoencoder of mostly natural scenes learns last.
    """
    shape = scenes.class_index.shape
    painted = torch.rand(shape, generator=generator) < 0.5
    color = torch.randint(len(COLORS), shape, generator=generator)
    allowed = painted & ~held_out_color_table()[scenes.class_index.clamp_min(0), color]
    return replace(scenes, color_index=torch.where(allowed, color, scenes.color_index))


def train_autoencoder(
    folder: Path, *, recipe: AutoencoderRecipe = RECIPE, on_step: Callable[[LoopEvent], None]
) -> Autoencoder:
    """Train (or resume) in ``folder``, write the standardised autoencoder there, and return it."""
    source = SceneImages(BATCH_SIZE, recipe.seed)
    training = AutoencoderTraining(CONFIG, recipe, source)
    train(training, folder, LoopOptions(num_steps=recipe.num_steps), on_step=on_step)
    model = training.model.eval()
    statistics = SceneImages(STATISTICS_SCENES, recipe.seed + 1).images(0)
    model.standardise_on(to_unit_range(statistics))
    save_file({name: t.contiguous() for name, t in model.state_dict().items()}, folder / WEIGHTS_FILE)
    return model
