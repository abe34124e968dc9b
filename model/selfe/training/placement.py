"""How a network and its moving average lie on the devices: whole in every process (DDP), or in shards (FSDP2).

None of this decides what is computed: the same numbers come out up to rounding and the order of sums.
"""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn.parallel import DistributedDataParallel

from selfe.model import ConditionalModel, checkpoint_activations, compiled
from selfe.training import parallel
from selfe.training.ema import own_part

Parallel = Literal["ddp", "fsdp"]
"""ddp: every process holds all weights; fsdp: every process holds a share of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a training computes; any of these may change when it is resumed."""

    parallel: Parallel = "ddp"
    """How several processes share the work; one process needs neither."""
    compile: bool = False
    """Whether to compile the blocks: costs minutes once, and the kernels' rounding is not that of the plain ones."""
    checkpoint_activations: bool = False
    """Whether to compute each block again in the backward pass instead of keeping what it computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A network in training as its process holds it."""

    model: ConditionalModel
    """Its weights, under their own names; in shards under FSDP."""
    wrapped: nn.Module
    """What to call where gradients are wanted."""

    def __call__(self, *arguments: object) -> torch.Tensor:
        """The network's output; a pass without gradient takes no part in the processes' exchange of gradients."""
        module = self.wrapped if torch.is_grad_enabled() else self.model
        output: torch.Tensor = module(*arguments)
        return output

    def part(self, *, last: bool) -> AbstractContextManager[None]:
        """Around forward and backward pass of one part: gradients are exchanged with the last one only."""
        if isinstance(self.wrapped, FSDPModule):
            self.wrapped.set_requires_gradient_sync(last)
        elif isinstance(self.wrapped, DistributedDataParallel) and not last:
            no_sync: AbstractContextManager[None] = self.wrapped.no_sync()
            return no_sync
        return contextlib.nullcontext()

    def sum_gradients(self) -> None:
        """Make the processes' gradients, of which DDP and FSDP take the mean, their sum.

        A loss divided by their number instead would be rounded by autocast in another way for each number of processes.
        """
        if parallel.is_joined():
            gradients = [own_part(p.grad) for p in self.model.parameters() if p.grad is not None]
            torch._foreach_mul_(gradients, parallel.num_ranks())


def place(
    model: ConditionalModel, average: ConditionalModel, placement: Placement, device: torch.device
) -> Placed:
    """Lay out both networks, whose weights are whole and equal in every process, for training together.

    Must come before the optimiser is made: under FSDP the parameters become shards here.
    """
    if placement.checkpoint_activations:
        checkpoint_activations(model)
    if placement.compile:
        for network in (model, average):
            compiled(network)
    if not parallel.is_joined():
        return Placed(model=model, wrapped=model)
    if placement.parallel == "ddp":
        wrapped = DistributedDataParallel(model, gradient_as_bucket_view=True)
        return Placed(model=model, wrapped=wrapped)
    mesh = init_device_mesh(device.type, (parallel.num_ranks(),))
    for network in (model, average):
        shard(network, mesh)
    return Placed(model=model, wrapped=model)


def shard(model: ConditionalModel, mesh: DeviceMesh) -> None:
    """FSDP2, block by block, in float32: autocast, which every pass runs under, says what is cast and what is not.

    FSDP's own casting of the blocks to bfloat16 would halve the traffic, but fails where an objective leaves autocast. All is
    dropped again after a pass, so that the parameters are shards whenever no pass is under way.

    What is not dropped are the copies that autocast makes of the weights: autograd keeps them for the backward pass, so that
    every process holds the whole network once in bfloat16 until then.
    """
    for block in model.denoiser.blocks():
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh, reshard_after_forward=True)


def consolidated(model: ConditionalModel) -> ConditionalModel | None:
    """The whole network in the first process, None in the others, which must call this too.

    Shards are gathered into a copy on the CPU; a network that is whole already is handed back itself.
    """
    if not isinstance(model, FSDPModule):
        return model if parallel.is_first() else None
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    tensors = get_model_state_dict(model, options=options)
    if not parallel.is_first():
        return None
    whole = ConditionalModel(model.config)
    whole.load_state_dict(tensors)
    return whole.requires_grad_(requires_grad=False).eval()
