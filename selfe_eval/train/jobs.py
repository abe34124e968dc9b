"""The functions behind the presets' table: each turns a TrainingJob into a finished checkpoint folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from selfe.objectives.self_e import SelfE
from selfe.training.loop import LoopEvent
from selfe.training.placement import Placement
from selfe_eval.train.autoencoder import train_autoencoder
from selfe_eval.train.budget import PAPER_ANNEAL_END, PAPER_STEPS
from selfe_eval.train.bundled import bundled_training
from selfe_eval.train.generator import Machine
from selfe_eval.train.objectives import objective_from
from selfe_eval.train.options import TrainOptions
from selfe_eval.train.presets import TrainingJob
from selfe_eval.train.tiny import SMOKE, Sizes, TinyTraining, train_tiny

ADOPTED = f"{SelfE.name}:noise_share=0.15"
"""What preset ``tiny`` trains where nobody names an objective: Self-E with what won at every step count in
results/REPORT.md (question Q2); plain ``self_e`` is the paper's."""


def autoencoder(job: TrainingJob) -> Path:
    """Preset ``openmoji-autoencoder``."""
    train_autoencoder(job.folder, on_step=_step_reporter(job, "autoencoder"))
    return job.folder


def selfe_tiny(job: TrainingJob) -> Path:
    """Preset ``selfe-tiny``."""
    return _bundled(job, "selfe-tiny")


def flow_tiny(job: TrainingJob) -> Path:
    """Preset ``flow-tiny``."""
    return _bundled(job, "flow-tiny")


def detector(job: TrainingJob) -> Path:
    """Preset ``openmoji-detector``."""
    from selfe_eval.train.judge_detector import DetectorPreset, train

    return train(
        DetectorPreset(),
        job.folder,
        threads=torch.get_num_threads(),
        on_step=_step_reporter(job, "detector"),
    )


def clip(job: TrainingJob) -> Path:
    """Preset ``openmoji-clip``."""
    from selfe_eval.train.judge_clip import ClipPreset, train

    return train(
        ClipPreset(), job.folder, threads=torch.get_num_threads(), on_step=_step_reporter(job, "clip")
    )


def tiny(job: TrainingJob) -> Path:
    """Preset ``tiny``."""
    chosen = job.options
    sizes = SMOKE if chosen.smoke else Sizes()
    num_steps = chosen.iterations or sizes.num_steps
    training = TinyTraining(
        name=job.folder.name,
        objective=objective_from(
            chosen.objective or ADOPTED, anneal_steps=round(num_steps * PAPER_ANNEAL_END / PAPER_STEPS)
        ),
        num_steps=num_steps,
        batch_size=chosen.batch_size or sizes.batch_size,
        num_scenes=sizes.num_scenes,
        micro_batches=chosen.micro_batches or 1,
        seed=chosen.seed or 0,
        is_smoke=chosen.smoke,
        keep_every=chosen.keep_every,
    )
    return train_tiny(
        training, job.folder, device=job.device, on_phase=job.on_phase, machine=_machine(chosen)
    )


def half_b(job: TrainingJob) -> Path:
    """Preset ``0.5b``."""
    from selfe_eval.train.pictures import HALF_B, train_on_pictures

    return train_on_pictures(HALF_B, job, _machine(job.options))


def two_b(job: TrainingJob) -> Path:
    """Preset ``2b``."""
    from selfe_eval.train.pictures import TWO_B, train_on_pictures

    return train_on_pictures(TWO_B, job, _machine(job.options))


def _machine(chosen: TrainOptions) -> Machine:
    placement = Placement(
        parallel="fsdp" if chosen.parallel == "fsdp" else "ddp",
        compile=chosen.compile,
        checkpoint_activations=chosen.checkpoint_activations,
    )
    return Machine(placement=placement, tensorboard=chosen.tensorboard)


def _bundled(job: TrainingJob, name: str) -> Path:
    return train_tiny(bundled_training(name), job.folder, device=job.device, on_phase=job.on_phase)


def _step_reporter(job: TrainingJob, phase: str) -> Callable[[LoopEvent], None]:
    return lambda event: job.on_phase(phase, event.step, event.num_steps, event.metrics)
