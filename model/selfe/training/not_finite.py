"""The check before every optimiser step: a loss or a gradient that is NaN or infinite must not reach the weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields

import torch
from torch import Tensor

from selfe.condition import Condition
from selfe.objectives.batch import TrainingBatch
from selfe.training.errors import NotFiniteError


def refuse_not_finite(
    step: int, numbers: Mapping[str, Tensor], batch: Callable[[Sequence[str]], Mapping[str, Tensor]]
) -> None:
    """Refuse a step if one of its losses or its gradient norm is not finite; waits for the device once.

    Args:
        step: Its number.
        numbers: Scalars by name, equal in all processes.
        batch: Makes the tensors that are to be kept, given the names of the numbers that are not finite.

    Raises:
        NotFiniteError: the message names the step and these numbers.
    """
    values = torch.stack([number.detach().float() for number in numbers.values()]).tolist()
    wrong = {name: value for name, value in zip(numbers, values, strict=True) if not math.isfinite(value)}
    if wrong:
        named = ", ".join(f"{name} = {value}" for name, value in wrong.items())
        raise NotFiniteError(
            f"Step {step} was refused before it reached the weights: {named}.", batch(list(wrong))
        )


def named_tensors(prefix: str, batch: TrainingBatch) -> dict[str, Tensor]:
    """Every tensor of a batch, as ``prefix.x0``, ``prefix.c.tokens`` and so on."""
    values = {f"{prefix}.{field.name}": getattr(batch, field.name) for field in fields(batch)}
    tensors = {name: value for name, value in values.items() if isinstance(value, Tensor)}
    for name, value in values.items():
        if isinstance(value, Condition):
            tensors |= {f"{name}.{part}": t for part, t in value._asdict().items() if t is not None}
    return tensors
