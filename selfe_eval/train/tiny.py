"""Preset ``tiny``: any objective on the openmoji world, with the bundled autoencoder, in minutes to hours.

What `ablate` compares: the same network, data, order of batches and optimiser for every objective. Trainings with a warm
start share it: flow matching at a constant learning rate, trained once in a folder beside theirs and copied. Its state is bit
for bit what the first steps of each would come to alone, except for objectives whose rows share captions (IMM), which would
draw other batches from the first step on.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from selfe.autoencoder import Autoencoder
from selfe.checkpoint import load_checkpoint
from selfe.objectives.flow_matching import FlowMatching
from selfe.objectives.protocol import Objective
from selfe.objectives.self_e import SelfE
from selfe.presets import smoke, tiny
from selfe.sampler import SamplerOptions
from selfe.training import parallel
from selfe.training.log import METRICS_FILE
from selfe.training.loop import LoopEvent, LoopOptions
from selfe.training.state import copy_state, newest_state
from selfe.training.trainer import Recipe
from selfe_eval.errors import UsageError
from selfe_eval.resources import checkpoints_dir
from selfe_eval.train.generator import Ends, GeneratorPlan, Machine, train_generator
from selfe_eval.train.latents import Draw, load_pool
from selfe_eval.train.objectives import rows_of_a_part
from selfe_eval.train.vocabulary import text_config

OnPhase = Callable[[str, int, int, dict[str, float]], None]
"""Progress: (what is being done, done, total, latest metrics)."""
SUITE = "openmoji"
AUTOENCODER_OF = "selfe-tiny"
"""The bundled checkpoint whose autoencoder is used."""
GUIDANCE = 2.0
"""Instead of the paper's 5: chosen for scenes of this size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyTraining:
    """One training on the openmoji world."""

    name: str
    """Of the checkpoint."""
    objective: Objective
    """What is minimised, after the warm start."""
    num_steps: int = 10_000
    """Optimiser steps."""
    warm_start_steps: int = 0
    """First steps: flow matching at a constant learning rate after its warm-up, whatever the objective; all trainings of this
    seed share them."""
    batch_size: int = 64
    """Rows of an optimiser step."""
    micro_batches: int = 1
    """Parts into which a batch is cut; divides ``batch_size``."""
    num_scenes: int = 81_920
    """Distinct scenes."""
    seed: int = 0
    """Of the initial weights and of every step."""
    is_smoke: bool = False
    """Whether the network is the smallest one, to see that everything runs."""
    keep_every: int | None = None
    """Steps between checkpoints that stay beside the newest one, for `probe`; None: only the newest is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much a training sees where the caller does not say."""

    num_steps: int = 10_000
    """Optimiser steps."""
    batch_size: int = 64
    """Rows of an optimiser step."""
    num_scenes: int = 81_920
    """Distinct scenes."""


SMOKE = Sizes(num_steps=20, batch_size=8, num_scenes=64)
"""Sizes of a training that only shows that everything runs."""


def default_sampler(objective: Objective) -> SamplerOptions:
    """How a model of an objective is meant to be sampled, at the guidance of the bundled models.

    Flow matching has only seen s = t. Self-E re-noises with eta = 1 (appendix S.2). The others learn a jump from t to s, so
    they jump there without fresh noise, also in one step.
    """
    if isinstance(objective, FlowMatching):
        return SamplerOptions(guidance=GUIDANCE, s_schedule="current")
    if isinstance(objective, SelfE):
        return SamplerOptions(guidance=GUIDANCE)
    return SamplerOptions(guidance=GUIDANCE, eta=0.0, one_step_s=0.0)


def train_tiny(
    training: TinyTraining,
    folder: Path,
    *,
    device: str,
    on_phase: OnPhase,
    machine: Machine = Machine(),  # noqa: B008 - frozen
) -> Path:
    """Train (or resume) in ``folder``; encoded scenes and the warm start are kept beside it, for other trainings too.

    Returns:
        The folder of the checkpoint.

    Raises:
        UsageError: the batch cannot be cut as asked, or the warm start beside the folder is a longer one.
        UnevenPartsError: its parts cannot be dealt out evenly to the processes.
    """
    if 0 < training.warm_start_steps < training.num_steps and newest_state(folder) is None:
        _begin_warm(training, folder, device=device, on_phase=on_phase, machine=machine)
    rows = rows_of_a_part(training.objective, training.batch_size, training.micro_batches)
    autoencoder = load_checkpoint(checkpoints_dir() / AUTOENCODER_OF).autoencoder
    assert isinstance(autoencoder, Autoencoder), "the bundled ones bring their own"
    with parallel.first_before_others():  # it encodes, the others read what it kept
        pool = load_pool(
            autoencoder,
            folder.parent / "latents",
            num_scenes=training.num_scenes,
            draw=Draw(
                num_rows=rows,
                seed=3,
                rows_per_caption=training.objective.rows_per_caption,
                with_fake=training.objective.needs_fake_prompts,
            ),
            on_progress=lambda done, total: on_phase("encoding scenes", done, total, {}),
        )

    def on_step(event: LoopEvent) -> None:
        on_phase(training.name, event.step, event.num_steps, event.metrics)

    return train_generator(
        tiny_plan(training),
        pool,
        Ends(autoencoder=autoencoder),
        folder,
        device=torch.device(device),
        machine=machine,
        on_step=on_step,
    )


def _begin_warm(
    training: TinyTraining, folder: Path, *, device: str, on_phase: OnPhase, machine: Machine
) -> None:
    """Let the training begin where the warm start of its seed ends, which is trained (or resumed) beside it if need be.

    Raises:
        UsageError: the warm start there is a longer one.
    """
    num_steps = training.warm_start_steps
    shared = replace(
        training, name=f"warm-start-seed-{training.seed}", objective=FlowMatching(), num_steps=num_steps
    )
    beside = folder.parent / shared.name
    state = newest_state(beside)
    if state is not None and state.step > num_steps:
        raise UsageError(
            f"The warm start in {beside} has {state.step} steps already and {num_steps} are wanted: expected at most as "
            "many. Ask for its length, or train in another folder."
        )
    train_tiny(shared, beside, device=device, on_phase=on_phase, machine=machine)
    state = newest_state(beside)
    assert state is not None, "a finished training leaves a state"
    with parallel.first_before_others():
        if parallel.is_first():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(beside / METRICS_FILE, folder / METRICS_FILE)
            copy_state(state, folder)


def tiny_plan(training: TinyTraining) -> GeneratorPlan:
    """Network, recipe and sampler of a training on the openmoji world."""
    steps = training.num_steps
    network = smoke(text_config()) if training.is_smoke else tiny(text_config())
    return GeneratorPlan(
        name=training.name,
        suite=SUITE,
        network=network,
        recipe=Recipe(
            objective=training.objective,
            num_steps=steps,
            warm_start_steps=training.warm_start_steps,
            micro_batches=training.micro_batches,
            warmup_steps=min(300, max(1, (training.warm_start_steps or steps) // 10)),
            decay_start=training.warm_start_steps,
            ema_decay=0.999,
            seed=training.seed,
        ),
        loop=LoopOptions(
            num_steps=steps,
            log_every=min(50, steps, training.keep_every or steps),
            save_every=250,
            sample_every=training.keep_every or max(500, steps // 5),
        ),
        sampler=default_sampler(training.objective),
        batch_size=training.batch_size,
        data={"distinct_scenes": training.num_scenes},
        keeps_checkpoints=training.keep_every is not None,
    )
