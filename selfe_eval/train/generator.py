"""Train one any-step generator from a plan, with sample grids on the way, and export its checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from selfe.autoencoder import Autoencoder
from selfe.checkpoint import Checkpoint, save_checkpoint
from selfe.encoders.flux_autoencoder import FrozenAutoencoderConfig
from selfe.encoders.protocol import LatentCoder, PromptReader
from selfe.model import ConditionalModel, ModelConfig
from selfe.objectives.protocol import describe
from selfe.pipeline import AnyStepPipeline
from selfe.sampler import SamplerOptions
from selfe.training.log import training_seconds
from selfe.training.loop import LoopEvent, LoopOptions, train
from selfe.training.placement import Placement
from selfe.training.trainer import LatentSource, ModelTraining, Recipe
from selfe_eval.generate.sample_grid import save_sample_grid


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorPlan:
    """What to train, and how the result is to be sampled."""

    name: str
    """Of the checkpoint."""
    suite: str | None
    """The suite whose prompts it is made for."""
    network: ModelConfig
    """Of the network."""
    recipe: Recipe
    """Of the training."""
    loop: LoopOptions
    """How long, and how often to write."""
    sampler: SamplerOptions
    """Defaults that the checkpoint brings."""
    batch_size: int
    """Rows of an optimiser step."""
    data: Mapping[str, Any]
    """What else the checkpoint's record says of the data; JSON types only."""
    keeps_checkpoints: bool = False
    """Whether every checkpoint stays, in ``checkpoint-000500`` and so on, beside the newest one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """What stands around the network: what the checkpoint names, and what draws samples on the way."""

    autoencoder: Autoencoder | FrozenAutoencoderConfig
    """The model's own, or where a frozen one lies."""
    encoders: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Role -> file name -> SHA-256 of the frozen networks' weights."""
    reader: PromptReader | None = None
    """Of frozen text encoders that are loaded already."""
    coder: LatentCoder | None = None
    """The frozen autoencoder, where it is loaded already."""

    @property
    def draws(self) -> bool:
        """Whether samples can be drawn without loading frozen networks for them."""
        return isinstance(self.autoencoder, Autoencoder) or self.coder is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """How a training computes; none of it decides the numbers."""

    placement: Placement = field(default_factory=Placement)
    """On how many processes and how."""
    tensorboard: bool = False
    """Whether to write TensorBoard events beside metrics.jsonl."""


def train_generator(
    plan: GeneratorPlan,
    source: LatentSource,
    ends: Ends,
    folder: Path,
    *,
    device: torch.device,
    on_step: Callable[[LoopEvent], None],
    machine: Machine = Machine(),
) -> Path:
    """Train (or resume) in ``folder`` and keep the newest checkpoint in ``folder / "checkpoint"``; see also the plan.

    Returns:
        The checkpoint's folder.
    """
    recipe = replace(plan.recipe, batch_size=plan.batch_size)
    training = ModelTraining(plan.network, recipe, source, device=device, placement=machine.placement)

    def checkpoint(step: int, average: ConditionalModel) -> Checkpoint:
        return Checkpoint(
            name=plan.name,
            suite=plan.suite,
            model=average,
            autoencoder=ends.autoencoder,
            encoders=ends.encoders,
            sampler=plan.sampler,
            training=_record(plan, training, step, folder),
            sha256="",
        )

    def on_sample(step: int) -> None:
        average = training.consolidated_average()
        if average is None:  # the first process alone has it, and writes
            return
        made = checkpoint(step, average)
        if ends.draws:
            pipeline = AnyStepPipeline(made, device=device, reader=ends.reader, coder=ends.coder)
            save_sample_grid(pipeline, folder / f"samples-{step:06d}.png")
        if plan.keeps_checkpoints:
            save_checkpoint(folder / f"checkpoint-{step:06d}", made)
        save_checkpoint(folder / "checkpoint", made)

    loop = replace(plan.loop, tensorboard=machine.tensorboard)
    train(training, folder, loop, on_step=on_step, on_sample=on_sample)
    return folder / "checkpoint"


def _record(plan: GeneratorPlan, training: ModelTraining, step: int, folder: Path) -> dict[str, Any]:
    return {
        "objective": plan.recipe.objective.name,
        "objective_options": describe(plan.recipe.objective),
        "steps": step,
        "warm_start_steps": min(step, plan.recipe.warm_start_steps),
        "batch_size": plan.batch_size,
        "images_seen": step * plan.batch_size,
        "parameters": sum(p.numel() for p in training.model.parameters()),
        "weights": "exponential moving average",
        "seed": plan.recipe.seed,
        "seconds": round(training_seconds(folder)),
        "device": str(training.device),
        "threads": torch.get_num_threads(),
        **plan.data,
    }
