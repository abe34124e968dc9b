"""How the judge's two networks are trained: AdamW, cosine schedule; the loop around it is ``selfe.training.loop``.

The data of step n depends on the seed and n alone. What is not here: what to learn (see judge_detector.py, judge_clip.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from selfe.training.log import read_metrics, training_seconds
from selfe.training.loop import LoopEvent, LoopOptions, Metrics, train
from selfe.training.not_finite import refuse_not_finite
from selfe.training.optim import clip_gradients, set_learning_rate
from selfe.training.state import network_tensors, optimiser_tensors, restore_optimiser


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeRecipe:
    """How long and how fast to learn."""

    num_steps: int
    """Optimiser steps."""
    batch_size: int
    """Images in a step."""
    learning_rate: float
    """Highest rate, reached after the warm-up; falls to zero along a cosine."""
    weight_decay: float = 0.01
    """Of AdamW."""
    warmup_steps: int = 200
    """Linear warm-up."""
    clip_norm: float = 5.0
    """Largest gradient norm."""
    log_every: int = 50
    """Steps between lines of metrics.jsonl."""
    save_every: int = 500
    """Steps between saved states."""


Losses = dict[str, Tensor]
"""Named scalars; "loss" is the one to minimise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a finished training hands back."""

    weights: dict[str, Tensor]
    """Final weights; the rate has fallen to zero, so nothing is left to average."""
    seconds: float
    """Training time, over all resumed parts."""
    metrics: dict[str, float]
    """The last line of metrics.jsonl."""


class JudgeTraining:
    """A network in training; implements ``selfe.training.loop.Trainable``."""

    def __init__(
        self, network: nn.Module, losses_at: Callable[[int], Losses], recipe: JudgeRecipe, *, seed: int
    ) -> None:
        self.network = network.train()
        self.losses_at = losses_at
        self.recipe = recipe
        self.seed = seed
        self.optimiser = torch.optim.AdamW(
            _parameter_groups(network, recipe.weight_decay), lr=recipe.learning_rate, betas=(0.9, 0.98)
        )

    def train_step(self, step: int) -> Metrics:
        """One optimiser step on the losses of this step."""
        recipe = self.recipe
        rate = recipe.learning_rate * schedule(step, recipe)
        set_learning_rate(self.optimiser, rate)
        losses = self.losses_at(step)
        self.optimiser.zero_grad(set_to_none=True)
        losses["loss"].backward()
        norm = clip_gradients(self.network.parameters(), recipe.clip_norm)
        refuse_not_finite(step, {"loss": losses["loss"], "gradient norm": norm}, lambda _: {})
        self.optimiser.step()
        detached = {name: value.detach() for name, value in losses.items()}
        return {**detached, "gradient_norm": norm, "lr": rate, "images": recipe.batch_size}

    def state_dict(self) -> dict[str, Tensor]:
        """Weights, running statistics and optimiser."""
        return network_tensors("network", self.network) | optimiser_tensors(self.network, self.optimiser)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Inverse of ``state_dict``."""
        restore_optimiser(self.network, self.optimiser, state)

    def settings(self, step: int) -> dict[str, Any]:
        """Recipe and seed, the same at every step."""
        del step
        how_often = {"log_every", "save_every"}
        recipe = {name: value for name, value in asdict(self.recipe).items() if name not in how_often}
        return {**recipe, "seed": self.seed}


def train_network(
    training: JudgeTraining, folder: Path, *, on_step: Callable[[LoopEvent], None] = lambda _: None
) -> Trained:
    """Train a network in place, or go on from the state in ``folder``.

    Args:
        training: What to train.
        folder: Gets the training state and ``metrics.jsonl``.
        on_step: Called after each step.

    Raises:
        TrainingError: the training does not begin or go on (``selfe.training.errors``).
    """
    recipe = training.recipe
    options = LoopOptions(
        num_steps=recipe.num_steps, log_every=recipe.log_every, save_every=recipe.save_every
    )
    train(training, folder, options, on_step=on_step)
    return Trained(
        weights=training.network.state_dict(),
        seconds=training_seconds(folder),
        metrics=read_metrics(folder)[-1],
    )


def schedule(step: int, recipe: JudgeRecipe) -> float:
    """Learning rate at a step, as a fraction of the highest: linear warm-up, then half a cosine.

    >>> schedule(100, JudgeRecipe(num_steps=100, batch_size=1, learning_rate=1.0, warmup_steps=10))
    0.0
    """
    if step < recipe.warmup_steps:
        return (step + 1) / recipe.warmup_steps
    done = (step - recipe.warmup_steps) / max(1, recipe.num_steps - recipe.warmup_steps)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Decay matrices and kernels, leave biases, norms and scalars alone."""
    decayed = [parameter for parameter in network.parameters() if parameter.ndim >= 2]
    free = [parameter for parameter in network.parameters() if parameter.ndim < 2]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
