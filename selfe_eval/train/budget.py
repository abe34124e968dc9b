"""What every variant of an ablation gets alike, and what a training of it cost. There is no torch here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

PAPER_STEPS, PAPER_ANNEAL_END, PAPER_AUX_START = 710_000, 300_000, 550_000
"""Of the paper's 2B training: all iterations, those over which tau grows to 1 (S.13), and where the auxiliary term starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What every variant gets: the same network, data, optimiser, schedule of the learning rate and images seen."""

    num_steps: int
    """Optimiser steps, the warm start among them."""
    batch_size: int
    """Rows of an optimiser step."""
    warm_start_steps: int
    """First steps trained with flow matching, whatever the objective."""
    num_scenes: int
    """Distinct scenes."""
    is_smoke: bool
    """Whether the network is the smallest one, to see that everything runs."""

    def as_json(self) -> dict[str, Any]:
        """As plans and results keep it."""
        return {**asdict(self), "images_seen": self.num_steps * self.batch_size}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingCost:
    """The time that one training took."""

    seconds: float
    """Of all steps, over all parts of an interrupted training; without sample grids and exports."""
    step_seconds: tuple[float, ...]
    """Mean seconds of a step in each logged stretch after the warm start; the first one, which warms up the machine, is
    left out where there are others."""
