"""The presets of ``selfe-eval train``: a visible table, resolved late so that listing it needs no torch."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from selfe_eval.errors import UsageError, unknown_name
from selfe_eval.ranks import ranks_here
from selfe_eval.train.options import TrainOptions, flag


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """What a preset gets to know."""

    folder: Path
    """Where this preset keeps its state, metrics and samples; other presets live beside it."""
    options: TrainOptions
    """What the caller chose, of what the preset takes."""
    device: str
    """A torch device."""
    on_phase: Callable[[str, int, int, dict[str, float]], None]
    """Progress: (what is being done, done, total, latest metrics)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetEntry:
    """One row of the table."""

    function: str
    """``module:function`` taking a TrainingJob and returning the folder of the finished checkpoint."""
    about: str
    """One line for the listing."""
    takes: frozenset[str] = frozenset()
    """The fields of TrainOptions that mean something to it."""


ANY_NETWORK = frozenset(
    {
        "objective",
        "iterations",
        "batch_size",
        "micro_batches",
        "seed",
        "name",
        "smoke",
        "parallel",
        "compile",
        "checkpoint_activations",
        "tensorboard",
    }
)
ON_PICTURES = frozenset({"data", "sizes", "t5", "clip", "autoencoder"})

PRESETS = {
    "openmoji-autoencoder": PresetEntry(
        function="selfe_eval.train.jobs:autoencoder", about="8x autoencoder of the openmoji world"
    ),
    "openmoji-detector": PresetEntry(
        function="selfe_eval.train.jobs:detector", about="the bundled judge's detector"
    ),
    "openmoji-clip": PresetEntry(
        function="selfe_eval.train.jobs:clip", about="the bundled judge's open_clip model (colours)"
    ),
    "selfe-tiny": PresetEntry(
        function="selfe_eval.train.jobs:selfe_tiny", about="any-step generator: Self-E"
    ),
    "flow-tiny": PresetEntry(
        function="selfe_eval.train.jobs:flow_tiny", about="its baseline, trained alike: flow matching"
    ),
    "tiny": PresetEntry(
        function="selfe_eval.train.jobs:tiny",
        about="any objective on the openmoji world, with the bundled autoencoder",
        takes=ANY_NETWORK | {"keep_every"},
    ),
    "0.5b": PresetEntry(
        function="selfe_eval.train.jobs:half_b",
        about="the paper's ablation model on your pictures, with frozen T5, CLIP and autoencoder",
        takes=ANY_NETWORK | ON_PICTURES,
    ),
    "2b": PresetEntry(
        function="selfe_eval.train.jobs:two_b",
        about="the paper's model on your pictures, with frozen T5, CLIP and autoencoder",
        takes=ANY_NETWORK | ON_PICTURES,
    ),
}


def folder_name(preset: str, options: TrainOptions) -> str:
    """The training's folder, which is also the checkpoint's name: what the caller said, or preset and objective."""
    if options.name is not None:
        return options.name
    objective = "" if options.objective is None else "-" + re.sub(r"[^A-Za-z0-9._]+", "-", options.objective)
    return preset + objective + ("-smoke" if options.smoke else "")


def check_options(name: str, options: TrainOptions) -> None:
    """Whether there is a preset of this name that takes these options.

    Raises:
        UsageError: there is none, or it does not.
    """
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS)
    if ranks_here().count > 1 and "parallel" not in PRESETS[name].takes:
        raise UsageError(f"Preset {name} trains in one process; start it without torchrun.")
    foreign = options.chosen() - PRESETS[name].takes
    if foreign:
        takes = ", ".join(sorted(map(flag, PRESETS[name].takes))) or "no options of its own"
        raise UsageError(
            f"Preset {name} does not take {', '.join(sorted(map(flag, foreign)))}: it takes {takes}. "
            "`selfe-eval train list` shows all presets."
        )


def run_preset(name: str, job: TrainingJob) -> Path:
    """Train (or resume) a preset that `check_options` has passed.

    Raises:
        UsageError: the training does not begin: its settings, data or encoders are not usable.
        UntrustworthyError: it cannot go on: a loss is not finite, or a state is damaged or could not be kept.
    """
    module, _, attribute = PRESETS[name].function.partition(":")
    function = cast(Callable[[TrainingJob], Path], getattr(importlib.import_module(module), attribute))
    import torch

    from selfe.training import parallel
    from selfe_eval.train.failures import training_failures

    with training_failures(), parallel.joined(torch.device(job.device)) as device:
        return function(replace(job, device=str(device)))
