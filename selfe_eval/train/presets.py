"""The presets of ``selfe-eval train``: a visible table, resolved late so that listing it needs no torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from selfe_eval.errors import UsageError, unknown_name


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """What a preset gets to know."""

    folder: Path
    """Where this preset keeps its state, metrics and samples; other presets live beside it."""
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
    "tiny-warm-start": PresetEntry(
        function="selfe_eval.train.jobs:warm_start",
        about="the flow-matching start that selfe-tiny and flow-tiny share",
    ),
    "selfe-tiny": PresetEntry(
        function="selfe_eval.train.jobs:selfe_tiny", about="any-step generator: Self-E"
    ),
    "flow-tiny": PresetEntry(
        function="selfe_eval.train.jobs:flow_tiny", about="its baseline, trained alike: flow matching"
    ),
}


def run_preset(name: str, job: TrainingJob) -> Path:
    """Train (or resume) a preset.

    Raises:
        UsageError: there is no preset of this name, or the folder was begun with other settings.
    """
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS)
    module, _, attribute = PRESETS[name].function.partition(":")
    function = cast(Callable[[TrainingJob], Path], getattr(importlib.import_module(module), attribute))
    from selfe.loop import SettingsChangedError

    try:
        return function(job)
    except SettingsChangedError as error:
        raise UsageError(str(error)) from error
