"""The processes that train one model together, as ``torchrun`` starts them: who computes what, and what they agree on.

A process that joined no others is alone: it is the first of one, its own parts are all parts, and nothing here waits.
What travels between processes besides gradients are single numbers; states lie in files (``state.py``).
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterator, Mapping

import torch
import torch.distributed as dist
from torch import Tensor

from selfe.training.errors import UnevenPartsError


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[torch.device]:
    """Join the processes that ``torchrun`` started, until the end of the context; without ``torchrun`` stay alone.

    A ``SystemExit`` inside ends the process here and at once, with its code.

    Args:
        device: What the training runs on; "cuda" without a number becomes the GPU of this process.

    Yields:
        The device of this process.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]) if device.index is None else device.index)
        torch.cuda.set_device(device)
    # Small agreements travel over gloo, so that they wait for no kernel.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    except SystemExit as leaving:
        # Torch's threads now and then abort the interpreter on its own way out, and then the exit code says failure.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None))
    finally:
        gc.collect()  # what is left of a sharded network holds the group, whose threads must not outlive it
        dist.destroy_process_group()


def is_joined() -> bool:
    """Whether this process trains together with others."""
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """Which process this is, from 0."""
    return dist.get_rank() if is_joined() else 0


def num_ranks() -> int:
    """How many processes there are."""
    return dist.get_world_size() if is_joined() else 1


def is_first() -> bool:
    """Whether this is the process that writes files and speaks."""
    return rank() == 0


def own_parts(num_parts: int) -> range:
    """The parts of a batch that this process computes, one after the other: r, r + R, r + 2R, ...

    Raises:
        UnevenPartsError: the number of processes does not divide the number of parts.
    """
    if num_parts % num_ranks():
        raise UnevenPartsError(
            f"A batch of {num_parts} parts cannot be dealt out evenly to {num_ranks()} processes. Choose a number of "
            f"parts (micro-batches) that {num_ranks()} divides, or another number of processes."
        )
    return range(rank(), num_parts, num_ranks())


def meet() -> None:
    """Wait until every process has come here."""
    if is_joined():
        any_rank(flag=False)


@contextlib.contextmanager
def first_before_others() -> Iterator[None]:
    """The first process goes through the context alone, then the others: for files that it makes and they read."""
    if not is_first():
        meet()
    yield
    if is_first():
        meet()


def any_rank(*, flag: bool) -> bool:
    """Whether the flag is set in one process at least; all meet here."""
    if not is_joined():
        return flag
    flags = torch.tensor(int(flag))
    dist.all_reduce(flags, dist.ReduceOp.MAX)
    return bool(flags)


def summed(values: Tensor) -> Tensor:
    """The sum of every process's tensor, in place and on its device."""
    if is_joined():
        dist.all_reduce(values)
    return values


def mean_over_ranks(values: Mapping[str, float]) -> dict[str, float]:
    """The mean of every process's numbers, name by name; the names are the same in all."""
    names = sorted(values)
    total = summed(torch.tensor([values[name] for name in names], dtype=torch.float64))
    return dict(zip(names, (total / num_ranks()).tolist(), strict=True))
