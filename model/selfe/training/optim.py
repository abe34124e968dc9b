"""Adam with the paper's schedule: linear warm-up, then linear decay (appendix S.2); gradients clipped by their norm.

The decay may begin later than the warm-up ends. Until then nothing depends on how long the training will be, so that
trainings of any length can share their first steps (warmup-stable-decay, Hu et al., arXiv 2404.06395).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.nn import Parameter


def learning_rate(
    step: int, *, peak: float, final: float, warmup_steps: int, total_steps: int, decay_start: int = 0
) -> float:
    """Learning rate of one step: linear 0 -> peak over the warm-up, constant up to ``decay_start``, then linear to final.

    Args:
        step: Counted from 0.
        peak: Rate at the end of the warm-up.
        final: Rate one step after the last.
        warmup_steps: Length of the warm-up.
        total_steps: Steps of the whole training.
        decay_start: First step of the decay, if that is after the warm-up; at 0 the decay follows the warm-up (the paper).

    >>> learning_rate(0, peak=1.0, final=0.1, warmup_steps=10, total_steps=100)
    0.1
    >>> learning_rate(100, peak=1.0, final=0.1, warmup_steps=10, total_steps=100)
    0.1
    >>> learning_rate(59, peak=1.0, final=0.1, warmup_steps=10, total_steps=100, decay_start=60)
    1.0
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    begin = max(warmup_steps, decay_start)
    progress = min(1.0, max(0.0, (step - begin) / max(1, total_steps - begin)))
    return peak + (final - peak) * progress


def adam(parameters: Iterable[Parameter], *, peak: float) -> torch.optim.AdamW:
    """Adam with betas (0.9, 0.95) and no weight decay, fused into one kernel per step."""
    return torch.optim.AdamW(parameters, lr=peak, betas=(0.9, 0.95), weight_decay=0.0, fused=True)


def set_learning_rate(optimiser: torch.optim.Optimizer, value: float) -> None:
    """Write one learning rate into every parameter group."""
    for group in optimiser.param_groups:
        group["lr"] = value


def clip_gradients(parameters: Iterable[Parameter], largest_norm: float) -> Tensor:
    """Scale all gradients down to a global norm, over all shards of all processes; returns the norm before."""
    norm = torch.nn.utils.clip_grad_norm_(parameters, largest_norm).detach()
    return norm.full_tensor() if isinstance(norm, DTensor) else norm
