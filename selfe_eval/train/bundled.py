"""Presets ``selfe-tiny`` and ``flow-tiny``: two generators trained alike, except for the objective.

Both see the same batches in the same order with the same optimiser and schedule. Their first WARM_START_STEPS steps are
flow matching in both (the paper's annealing starts there too: tau = 0 means s = t), so they are trained once, as preset
``tiny-warm-start``, and copied; training either preset alone from scratch passes through the same states.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from selfe.autoencoder import Autoencoder
from selfe.objectives.flow_matching import FlowMatching
from selfe.objectives.protocol import Objective
from selfe.objectives.self_e import SelfE
from selfe.presets import tiny
from selfe.sampler import SamplerOptions, SSchedule
from selfe.training.log import METRICS_FILE
from selfe.training.loop import LoopEvent, LoopOptions
from selfe.training.state import copy_state, newest_state
from selfe.training.trainer import Recipe
from selfe_eval.train.generator import Ends, GeneratorPlan, train_generator
from selfe_eval.train.latents import Draw, load_pool
from selfe_eval.train.vocabulary import text_config

SUITE = "openmoji"
BATCH_SIZE = 64
NUM_SCENES = 81_920
NUM_STEPS = 10_900
WARM_START_STEPS = 9000
ANNEAL_STEPS = 600

GUIDANCE = 2.0
"""Instead of the paper's 5: chosen for scenes of this size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundledPreset:
    """One bundled generator's training."""

    name: str
    """Of the checkpoint."""
    objective: Objective
    """Of the steps after the warm start."""
    s_schedule: SSchedule
    """The second time its sampler asks for: flow matching has only ever seen s = t."""
    stop_at: int = NUM_STEPS
    """Optimiser steps; the learning-rate schedule always has NUM_STEPS."""


PRESETS = {
    preset.name: preset
    for preset in (
        BundledPreset(
            name="tiny-warm-start",
            objective=FlowMatching(),
            s_schedule="current",
            stop_at=WARM_START_STEPS,
        ),
        BundledPreset(name="selfe-tiny", objective=SelfE(anneal_steps=ANNEAL_STEPS), s_schedule="next"),
        BundledPreset(name="flow-tiny", objective=FlowMatching(), s_schedule="current"),
    )
}


def recipe(objective: Objective) -> Recipe:
    """The recipe that both generators share, with one objective or the other."""
    return Recipe(
        objective=objective,
        num_steps=NUM_STEPS,
        warm_start_steps=WARM_START_STEPS,
        peak_lr=1e-3,
        final_lr=3e-5,
        warmup_steps=300,
        ema_decay=0.999,
        seed=2,
    )


def train_bundled(
    preset: BundledPreset,
    folder: Path,
    autoencoder: Autoencoder,
    *,
    device: torch.device,
    on_encode: Callable[[int, int], None],
    on_step: Callable[[LoopEvent], None],
) -> Path:
    """Train (or resume) a preset in ``folder`` and export its checkpoint to ``folder / "checkpoint"``."""
    pool = load_pool(
        autoencoder,
        folder.parent / "latents",
        num_scenes=NUM_SCENES,
        draw=Draw(num_rows=BATCH_SIZE, seed=3),
        on_progress=on_encode,
    )
    _copy_warm_start(folder)
    plan = GeneratorPlan(
        name=preset.name,
        suite=SUITE,
        network=tiny(text_config()),
        recipe=recipe(preset.objective),
        loop=LoopOptions(num_steps=preset.stop_at, log_every=50, save_every=250, sample_every=500),
        sampler=SamplerOptions(guidance=GUIDANCE, eta=1.0, s_schedule=preset.s_schedule),
        batch_size=BATCH_SIZE,
        data={"distinct_scenes": NUM_SCENES},
    )
    return train_generator(plan, pool, Ends(autoencoder=autoencoder), folder, device=device, on_step=on_step)


def _copy_warm_start(folder: Path) -> None:
    """Start from the shared warm start beside the folder, if it is complete and this folder is new."""
    shared = newest_state(folder.parent / "tiny-warm-start")
    if folder.name == "tiny-warm-start" or shared is None or newest_state(folder) is not None:
        return
    if shared.step == WARM_START_STEPS:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(shared.folder.with_name(METRICS_FILE), folder / METRICS_FILE)
        copy_state(shared, folder)
