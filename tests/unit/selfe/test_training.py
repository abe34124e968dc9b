from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from selfe.autoencoder import AutoencoderConfig
from selfe.model import FrozenTextConfig
from selfe.objectives.flow_matching import FlowMatching
from selfe.objectives.registry import OBJECTIVES
from selfe.objectives.self_e import SelfE
from selfe.presets import smoke_frozen
from selfe.training.autoencoder import AutoencoderRecipe, AutoencoderTraining
from selfe.training.errors import SettingsChangedError
from selfe.training.log import METRICS_FILE
from selfe.training.loop import LoopOptions, Trainable, train
from selfe.training.state import copy_state, newest_state
from selfe.training.trainer import Captioned, ModelTraining, Recipe
from tests.unit.selfe import tiny

CPU = torch.device("cpu")


def training(name: str) -> ModelTraining:
    objective = SelfE(anneal_steps=3) if name == "self_e" else OBJECTIVES[name]()
    recipe = Recipe(objective=objective, num_steps=8, warm_start_steps=2, warmup_steps=2, seed=5)
    return ModelTraining(tiny.config(), recipe, tiny.RandomLatents(), device=CPU)


def assert_same_state(first: Trainable, second: Trainable) -> None:
    tensors = second.state_dict()
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, tensors[name]), name


@pytest.mark.parametrize("objective", ["flow_matching", "self_e"])
def test_a_resumed_run_is_the_uninterrupted_run_bit_for_bit(objective: str, tmp_path: Path) -> None:
    """Eight steps at once, or three, a new process, and five more: the same weights, average and metrics."""
    whole = training(objective)
    train(whole, tmp_path / "whole", LoopOptions(num_steps=8, log_every=1, save_every=3))
    train(training(objective), tmp_path / "parts", LoopOptions(num_steps=3, log_every=1, save_every=3))
    resumed = training(objective)
    train(resumed, tmp_path / "parts", LoopOptions(num_steps=8, log_every=1, save_every=3))

    assert_same_state(whole, resumed)
    assert _losses(tmp_path / "whole") == _losses(tmp_path / "parts")


def test_frozen_encoders_may_move_between_two_parts_of_a_training() -> None:
    """Where T5 and CLIP lie is no setting; how many tokens T5 reads is one."""

    def settings(t5: str = "here/t5", clip: str = "here/clip", num_tokens: int = 8) -> dict[str, Any]:
        text = FrozenTextConfig(t5=t5, clip=clip, num_tokens=num_tokens)
        recipe = Recipe(objective=FlowMatching(), num_steps=1)
        return ModelTraining(smoke_frozen(text), recipe, tiny.RandomLatents(), device=CPU).settings(0)

    assert settings() == settings(t5="there/t5", clip="there/clip")
    assert settings() != settings(num_tokens=9)


def test_a_folder_goes_on_only_with_its_own_settings(tmp_path: Path) -> None:
    """Another recipe in the same folder is refused with both values named; another objective may share a warm start."""
    train(training("flow_matching"), tmp_path, LoopOptions(num_steps=1, log_every=1, save_every=1))
    other = training("flow_matching")
    other.recipe = replace(other.recipe, peak_lr=0.5)

    with pytest.raises(SettingsChangedError, match=r"peak_lr was 0\.001 and is 0\.5"):
        train(other, tmp_path, LoopOptions(num_steps=2))
    train(training("self_e"), tmp_path, LoopOptions(num_steps=2, log_every=1))


def of_recipe(**changes: Any) -> ModelTraining:
    """Three steps of a warm start at a constant rate, and five more."""
    recipe = Recipe(objective=FlowMatching(), num_steps=8, warm_start_steps=3, decay_start=3, warmup_steps=2)
    return ModelTraining(tiny.config(), replace(recipe, **changes), tiny.RandomLatents(), device=CPU)


def test_in_a_warm_start_no_setting_counts_that_has_not_mattered_yet() -> None:
    """Objective, lengths and final rate are free up to its last step and settings from the next one on; the rest always is."""
    base = of_recipe()
    later: tuple[dict[str, Any], ...] = (
        {"objective": SelfE()},
        {"num_steps": 20},
        {"final_lr": 1e-6},
        {"warm_start_steps": 5, "decay_start": 5},
    )
    for changes in later:
        assert of_recipe(**changes).settings(3) == base.settings(3), changes
        assert of_recipe(**changes).settings(4) != base.settings(4), changes
    at_once: tuple[dict[str, Any], ...] = (
        {"peak_lr": 0.5},
        {"warmup_steps": 1},
        {"seed": 1},
        {"caption_drop": 0.2},
        {"ema_decay": 0.9},
        {"clip_norm": 2.0},
        {"batch_size": 8},
        {"micro_batches": 2},
    )
    for changes in at_once:
        assert of_recipe(**changes).settings(3) != base.settings(3), changes


def test_a_rate_that_falls_in_the_warm_start_makes_the_lengths_settings() -> None:
    """Where the decay begins before the objective, the objective alone is free until it takes over."""
    base = of_recipe(decay_start=1)

    assert of_recipe(decay_start=1, num_steps=20).settings(1) == base.settings(1)
    assert of_recipe(decay_start=1, num_steps=20).settings(2) != base.settings(2)
    assert of_recipe(decay_start=1, objective=SelfE()).settings(3) == base.settings(3)
    assert of_recipe(decay_start=1, objective=SelfE()).settings(4) != base.settings(4)


def test_a_shared_warm_start_is_refused_with_another_peak(tmp_path: Path) -> None:
    """A training of another length and objective goes on from it bit for bit as if it were its own; another peak does not."""
    shared = of_recipe(num_steps=3)
    train(shared, tmp_path / "shared", LoopOptions(num_steps=3, log_every=1))
    state = newest_state(tmp_path / "shared")
    assert state is not None
    copy_state(state, tmp_path / "copied")
    copy_state(state, tmp_path / "other")
    alone, gone_on = (of_recipe(objective=SelfE(), num_steps=5) for _ in range(2))
    train(alone, tmp_path / "alone", LoopOptions(num_steps=5, log_every=1))
    train(gone_on, tmp_path / "copied", LoopOptions(num_steps=5, log_every=1))

    assert_same_state(alone, gone_on)
    with pytest.raises(SettingsChangedError, match=r"peak_lr was 0\.001 and is 0\.5"):
        train(of_recipe(peak_lr=0.5), tmp_path / "other", LoopOptions(num_steps=8))


def test_a_folder_goes_on_only_with_its_own_batch_size(tmp_path: Path) -> None:
    """Otherwise the images that a checkpoint says it has seen would be neither training's."""

    def of_rows(num_rows: int) -> ModelTraining:
        recipe = Recipe(objective=FlowMatching(), num_steps=2, batch_size=2 * num_rows, micro_batches=2)
        return ModelTraining(tiny.config(), recipe, tiny.RandomLatents(num_rows), device=CPU)

    train(of_rows(4), tmp_path, LoopOptions(num_steps=1, log_every=1))

    with pytest.raises(SettingsChangedError, match="batch_size was 8 and is 16"):
        train(of_rows(8), tmp_path, LoopOptions(num_steps=2))


def test_metrics_after_the_saved_state_are_dropped_on_resume(tmp_path: Path) -> None:
    """A run killed between two saves leaves log lines that the resumed run writes again: each step once."""
    train(training("self_e"), tmp_path, LoopOptions(num_steps=3, log_every=1, save_every=3))
    with (tmp_path / METRICS_FILE).open("a") as file:
        file.write('{"step": 4, "loss": 1.0}\n{"step": 5, "lo')
    train(training("self_e"), tmp_path, LoopOptions(num_steps=5, log_every=1, save_every=3))

    assert [step for step, _ in _losses(tmp_path)] == [1, 2, 3, 4, 5]


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    """On one repeated batch, 60 steps of flow matching reduce the loss by a third at least."""

    class OneBatch(tiny.RandomLatents):
        def batch(self, step: int, part: int) -> Captioned:
            del step
            return super().batch(0, part)

    recipe = Recipe(objective=FlowMatching(), num_steps=60, warmup_steps=5, peak_lr=3e-3, seed=0)
    run = ModelTraining(tiny.config(), recipe, OneBatch(), device=CPU)
    train(run, tmp_path, LoopOptions(num_steps=60, log_every=10, save_every=60))
    losses = [loss for _, loss in _losses(tmp_path)]

    assert losses[-1] < losses[0] * 2 / 3


def _losses(folder: Path) -> list[tuple[int, float]]:
    import json

    records = [json.loads(line) for line in (folder / METRICS_FILE).read_text().splitlines()]
    return [(record["step"], record["loss"]) for record in records]


def test_the_autoencoder_resumes_bit_for_bit(tmp_path: Path) -> None:
    """Its kernels lie channels last in memory, and in a state as ever."""

    class Noise:
        def images(self, step: int) -> torch.Tensor:
            generator = torch.Generator().manual_seed(step)
            return torch.randint(256, (2, 3, 16, 16), generator=generator, dtype=torch.uint8)

    def autoencoder() -> AutoencoderTraining:
        sizes = AutoencoderConfig(latent_channels=4, encoder_widths=(8, 8, 8), decoder_widths=(8, 8, 8))
        return AutoencoderTraining(sizes, AutoencoderRecipe(num_steps=4), Noise())

    whole, resumed = autoencoder(), autoencoder()
    train(whole, tmp_path / "whole", LoopOptions(num_steps=4))
    train(autoencoder(), tmp_path / "parts", LoopOptions(num_steps=2))
    train(resumed, tmp_path / "parts", LoopOptions(num_steps=4))
    assert_same_state(whole, resumed)
