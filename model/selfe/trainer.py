"""Training a conditional model on precomputed latents: one step of any objective, EMA, clipping, exact resume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from selfe import ema
from selfe.loop import step_generator
from selfe.model import ConditionalModel, ModelConfig
from selfe.objectives.batch import ObjectiveResult, TrainingBatch
from selfe.objectives.flow_matching import flow_matching
from selfe.objectives.self_e import self_e
from selfe.optim import adam, learning_rate, set_learning_rate
from selfe.text import null_tokens
from selfe.times import anneal, mu_of_length, sample_times

ObjectiveName = Literal["flow_matching", "self_e"]


class Captioned(NamedTuple):
    """A batch of data."""

    latents: Tensor
    """Standardised latents as tokens, float (B, L, D)."""
    tokens: Tensor
    """Captions as token numbers, int64 (B, T)."""


class LatentSource(Protocol):
    """Where training data comes from: a function of the step, so that resuming needs no state."""

    def batch(self, step: int) -> Captioned:
        """The data of one optimiser step."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a conditional model is trained."""

    objective: ObjectiveName
    """Loss of the steps from ``warm_start_steps`` on."""
    num_steps: int
    """Optimiser steps in all."""
    warm_start_steps: int = 0
    """First steps trained with flow matching alone, whatever the objective."""
    anneal_steps: int = 0
    """Steps after the warm start over which tau goes 0 -> 1 (S.13)."""
    peak_lr: float = 1e-3
    """Learning rate after the warm-up."""
    final_lr: float = 3e-5
    """Learning rate of the last step."""
    warmup_steps: int = 500
    """Length of the linear warm-up."""
    caption_drop: float = 0.1
    """Share of rows that train the null prompt."""
    ema_decay: float = 0.999
    """Of the averaged weights."""
    clip_norm: float = 1.0
    """Gradients are clipped to this global norm."""
    seed: int = 0
    """Of the initial weights and of every step's noise, times and drops."""


class ModelTraining:
    """A conditional model in training; implements ``selfe.loop.Trainable``."""

    def __init__(
        self, config: ModelConfig, recipe: Recipe, source: LatentSource, *, device: torch.device
    ) -> None:
        torch.manual_seed(recipe.seed)
        self.model = ConditionalModel(config).to(device)
        self.average = ema.averaged_copy(self.model)
        self.recipe = recipe
        self.source = source
        self.device = device
        self.mu = mu_of_length(config.denoiser.grid[0] * config.denoiser.grid[1])
        self.optimiser = adam(self.model.parameters(), peak=recipe.peak_lr)

    def train_step(self, step: int) -> dict[str, Tensor | float]:
        """One optimiser step on the source's data of this step."""
        recipe = self.recipe
        lr = learning_rate(
            step,
            peak=recipe.peak_lr,
            final=recipe.final_lr,
            warmup_steps=recipe.warmup_steps,
            total_steps=recipe.num_steps,
        )
        set_learning_rate(self.optimiser, lr)
        batch = self._training_batch(step)
        with torch.autocast(self.device.type, torch.bfloat16):
            result = self._objective(step)(batch)
        self.optimiser.zero_grad(set_to_none=True)
        result.loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip_norm)
        self.optimiser.step()
        ema.update(self.average, self.model, ema.decay_at(step, recipe.ema_decay))
        return {**result.metrics, "gradient_norm": norm.detach(), "lr": lr}

    def state_dict(self) -> dict[str, Any]:
        """Weights, averaged weights and optimiser."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of ``state_dict``."""
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])

    def settings(self) -> dict[str, Any]:
        """Network and recipe; the objective is left out, since a warm start is shared by several."""
        recipe = {name: value for name, value in asdict(self.recipe).items() if name != "objective"}
        return {"network": asdict(self.model.config), **recipe}

    def _objective(self, step: int) -> Callable[[TrainingBatch], ObjectiveResult]:
        if self.recipe.objective == "self_e" and step >= self.recipe.warm_start_steps:
            return lambda batch: self_e(self.model, self.average, batch)
        return lambda batch: flow_matching(self.model, batch)

    def _training_batch(self, step: int) -> TrainingBatch:
        recipe = self.recipe
        data = self.source.batch(step)
        rows = len(data.latents)
        generator = step_generator(recipe.seed, step)
        tau = anneal(step - recipe.warm_start_steps, recipe.anneal_steps)
        times = sample_times(rows, mu=self.mu, tau=tau, generator=generator)
        dropped = torch.rand(rows, generator=generator) < recipe.caption_drop
        eps = torch.randn(data.latents.shape, generator=generator)
        fresh = torch.randn(data.latents.shape, generator=generator)
        tokens = torch.where(dropped[:, None], null_tokens(data.tokens), data.tokens)
        return TrainingBatch(
            x0=data.latents.float().to(self.device),
            eps=eps.to(self.device),
            t=times.t.to(self.device),
            s=times.s.to(self.device),
            tokens=tokens.to(self.device),
            dropped=dropped.to(self.device),
            fresh_noise=fresh.to(self.device),
        )
