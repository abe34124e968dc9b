"""Training a conditional model on latents: one step of any objective, EMA, clipping, exact resume.

A batch is cut into ``micro_batches`` parts. The data, the times and the noise of a part depend on (seed, step, part) alone
and the gradient is the mean over parts, so it does not matter how many of them one process computes one after the other
(gradient accumulation) and how many run on other processes: the same numbers come out up to the order of sums.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from selfe.condition import Condition, choose
from selfe.model import ConditionalModel, ModelConfig
from selfe.objectives.batch import TrainingBatch
from selfe.objectives.flow_matching import FlowMatching
from selfe.objectives.networks import Network, Networks
from selfe.objectives.protocol import Objective, describe
from selfe.training import ema, parallel
from selfe.training.loop import Metrics, step_generator
from selfe.training.not_finite import named_tensors, refuse_not_finite
from selfe.training.optim import adam, clip_gradients, learning_rate, set_learning_rate
from selfe.training.placement import Placement, consolidated, place
from selfe.training.state import network_tensors, optimiser_tensors, restore_optimiser


class Captioned(NamedTuple):
    """Data of one part of a batch, all of one size."""

    latents: Tensor
    """Standardised latents as tokens, float (B, L, D)."""
    c: Condition
    """Their captions, B rows."""
    grid: tuple[int, int]
    """L as (rows, columns)."""
    c_fake: Condition | None = None
    """Their captions with the phrase "fake image" beside them; None unless the source was asked for them."""


class LatentSource(Protocol):
    """Where training data comes from: a function of the step, so that resuming needs no state."""

    @property
    def null(self) -> Condition:
        """The null prompt phi, one row."""
        ...

    def batch(self, step: int, part: int) -> Captioned:
        """The data of one part of an optimiser step."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a conditional model is trained."""

    objective: Objective
    """Loss of the steps from ``warm_start_steps`` on."""
    num_steps: int
    """Optimiser steps in all."""
    warm_start_steps: int = 0
    """First steps trained with flow matching alone, whatever the objective."""
    batch_size: int | None = None
    """Rows of a batch over all its parts, which a resumed training must share; None: whatever the source gives."""
    micro_batches: int = 1
    """Parts into which a batch is cut."""
    peak_lr: float = 1e-3
    """Learning rate after the warm-up."""
    final_lr: float = 3e-5
    """Learning rate to which the decay leads, one step after the last."""
    warmup_steps: int = 500
    """Length of the linear warm-up."""
    decay_start: int = 0
    """First step of the decay, if that is after the warm-up: the rate stays at its peak until then."""
    caption_drop: float = 0.1
    """Share of rows that train the null prompt."""
    ema_decay: float = 0.999
    """Of the averaged weights."""
    clip_norm: float = 1.0
    """Gradients are clipped to this global norm."""
    seed: int = 0
    """Of the initial weights and of every step's noise, times and drops."""


class ModelTraining:
    """A conditional model in training; implements ``selfe.training.loop.Trainable``."""

    def __init__(
        self,
        config: ModelConfig,
        recipe: Recipe,
        source: LatentSource,
        *,
        device: torch.device,
        placement: Placement = Placement(),  # noqa: B008 - frozen
    ) -> None:
        """Make the network, the same in every process, and lay it out.

        Raises:
            UnevenPartsError: the number of processes does not divide ``recipe.micro_batches``.
        """
        self._parts = parallel.own_parts(recipe.micro_batches)
        torch.manual_seed(recipe.seed)
        self.model = ConditionalModel(config).to(device)
        self.average = ema.averaged_copy(self.model)
        self._live = place(self.model, self.average, placement, device)
        self.recipe = recipe
        self.source = source
        self.device = device
        self.optimiser = adam(self.model.parameters(), peak=recipe.peak_lr)

    def train_step(self, step: int) -> Metrics:
        """One optimiser step on the source's data of this step.

        Raises:
            NotFiniteError: a loss or the gradient is not finite.
        """
        recipe = self.recipe
        lr = learning_rate(
            step,
            peak=recipe.peak_lr,
            final=recipe.final_lr,
            warmup_steps=recipe.warmup_steps,
            total_steps=recipe.num_steps,
            decay_start=recipe.decay_start,
        )
        set_learning_rate(self.optimiser, lr)
        self.optimiser.zero_grad(set_to_none=True)
        parts = [self._backward(step, part) for part in self._parts]
        self._live.sum_gradients()
        metrics = {name: torch.stack([part[name] for part in parts]).mean() for name in parts[0]}
        norm = clip_gradients(self.model.parameters(), recipe.clip_norm)
        self._refuse_not_finite(step, [part["loss"] for part in parts], norm)
        self.optimiser.step()
        ema.update(self.average, self.model, ema.decay_at(step, recipe.ema_decay))
        images = metrics["images"] * recipe.micro_batches
        return {**metrics, "images": images, "gradient_norm": norm, "lr": lr}

    def consolidated_average(self) -> ConditionalModel | None:
        """The averaged network, whole, in the first process, and None in the others, which must call this too."""
        return consolidated(self.average)

    def state_dict(self) -> dict[str, Tensor]:
        """Weights, averaged weights and optimiser."""
        return {
            **network_tensors("model", self.model),
            **network_tensors("average", self.average),
            **optimiser_tensors(self.model, self.optimiser),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Inverse of ``state_dict``."""
        restore_optimiser(self.model, self.optimiser, state)

    def settings(self, step: int) -> dict[str, Any]:
        """Network and recipe, without what has not mattered yet, since a warm start is shared by several trainings.

        The objective counts once it has taken over. So do the lengths of the warm start and of the whole training, and where
        the learning rate goes; or earlier, where it falls before.

        The network's own grid is left out: batches name theirs, and other sizes may join a training. So are the places of
        frozen encoders, which may move.
        """
        network = asdict(self.model.config)
        del network["denoiser"]["grid"]
        for encoder in ("t5", "clip"):
            network["text"].pop(encoder, None)
        recipe = {name: value for name, value in asdict(self.recipe).items() if name != "objective"}
        is_warm_start = step <= self.recipe.warm_start_steps
        if is_warm_start and step <= self.recipe.decay_start:
            for later in ("num_steps", "warm_start_steps", "decay_start", "final_lr"):
                del recipe[later]
        settings = {"network": network, **recipe}
        if not is_warm_start:
            objective = self.recipe.objective
            settings["objective"] = describe(objective)
        return settings

    def _backward(self, step: int, part: int) -> dict[str, Tensor]:
        """Add one part's share to the gradients, which become the mean over all parts; returns its metrics."""
        objective = self._objective(step)
        batch, grid = self._training_batch(objective, step, part)
        networks = Networks(
            live=_on_grid(self._live, grid),
            average=_on_grid(self.average, grid),
            parametrisation=self.model.config.parametrisation,
        )
        with self._live.part(last=part == self._parts[-1]):
            with torch.autocast(self.device.type, torch.bfloat16):
                result = objective.loss(networks, batch)
            (result.loss / self.recipe.micro_batches).backward()
        return {**result.metrics, "images": torch.tensor(float(len(batch.x0)))}

    def _objective(self, step: int) -> Objective:
        return FlowMatching() if step < self.recipe.warm_start_steps else self.recipe.objective

    def _refuse_not_finite(self, step: int, own_losses: list[Tensor], norm: Tensor) -> None:
        """Look at the losses of all parts of all processes, and at the gradient."""
        losses = torch.zeros(self.recipe.micro_batches, device=self.device)
        losses[self._parts.start :: self._parts.step] = torch.stack(own_losses).float()
        parallel.summed(losses)
        numbers = {f"loss of part {part}": loss for part, loss in enumerate(losses)}

        def batch(wrong: Sequence[str]) -> dict[str, Tensor]:
            """Those parts whose loss is wrong, else all; made anew, since they follow from their numbers."""
            parts = [part for part, name in enumerate(numbers) if name in wrong]
            objective = self._objective(step)
            tensors: dict[str, Tensor] = {}
            for part in parts or range(len(numbers)) if parallel.is_first() else ():
                tensors |= named_tensors(f"part{part}", self._training_batch(objective, step, part)[0])
            return tensors

        refuse_not_finite(step, {**numbers, "gradient norm": norm}, batch)

    def _training_batch(
        self, objective: Objective, step: int, part: int
    ) -> tuple[TrainingBatch, tuple[int, int]]:
        recipe, device = self.recipe, self.device
        data = self.source.batch(step, part)
        rows = len(data.latents)
        assert recipe.batch_size in {None, rows * recipe.micro_batches}, (
            "the source deals out the recipe's batch"
        )
        generator = step_generator(recipe.seed, step, purpose=f"part {part}")
        since_start = max(0, step - recipe.warm_start_steps)
        mu = self.model.config.mu(data.grid)
        times = objective.times(rows, mu=mu, step=since_start, generator=generator)
        group = objective.rows_per_caption
        dropped = torch.rand(rows // group, generator=generator) < recipe.caption_drop
        dropped = dropped.repeat_interleave(group).to(device)  # rows that share a caption lose it together
        eps = torch.randn(data.latents.shape, generator=generator)
        fresh = torch.randn(data.latents.shape, generator=generator)
        phi = self.source.null.to(device)
        batch = TrainingBatch(
            x0=data.latents.float().to(device),
            eps=eps.to(device),
            t=times.t.to(device),
            s=times.s.to(device),
            c=choose(dropped, phi.repeated(rows), data.c.to(device)),
            phi=phi,
            c_fake=None if data.c_fake is None else data.c_fake.to(device),
            dropped=dropped,
            fresh_noise=fresh.to(device),
            mu=mu,
            step=since_start,
        )
        return batch, data.grid


def _on_grid(network: Callable[..., Tensor], grid: tuple[int, int]) -> Network:
    return lambda x_t, t, s, c: network(x_t, t, s, c, grid)
