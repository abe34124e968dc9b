"""Exponential moving average of the weights."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def averaged_copy(model: ModuleT) -> ModuleT:
    """A frozen copy of the model, to be updated by ``update``."""
    return copy.deepcopy(model).requires_grad_(requires_grad=False).eval()


def decay_at(step: int, decay: float) -> float:
    """min(decay, (1 + step) / (10 + step)): early averages forget the random start quickly."""
    return min(decay, (1 + step) / (10 + step))


@torch.no_grad()
def update(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Average <- decay * average + (1 - decay) * model, parameter by parameter; of shards each process does its own."""
    of_average, of_model = ([own_part(p) for p in network.parameters()] for network in (average, model))
    torch._foreach_lerp_(of_average, of_model, 1.0 - decay)


def own_part(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor, without its history: its shard, or all of it."""
    return (tensor.to_local() if isinstance(tensor, DTensor) else tensor).detach()
