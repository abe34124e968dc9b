"""Which device to compute on. Imports torch only when asked."""

from __future__ import annotations

from selfe_eval.errors import UsageError
from selfe_eval.ranks import ranks_here


def resolve_device(name: str) -> str:
    """A torch device string for ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Args:
        name: ``auto`` takes a GPU where there is one, else the CPU. Among several processes ``auto`` and ``cuda``
            take each the GPU of its local rank, which becomes this process's own: it is called ``cuda`` everywhere,
            so that what a scorer says of itself does not depend on who ran it.

    Raises:
        UsageError: the name is not a device, or this machine does not have it.
    """
    import torch

    available = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    num_gpus = len(available) - 1
    if name == "auto":
        name = "cuda" if num_gpus else "cpu"
    if name == "cuda" and num_gpus:
        ranks = ranks_here()
        if ranks.count > 1:
            torch.cuda.set_device(ranks.local_index % num_gpus)
        return name
    if name in available:
        return name
    raise UsageError(
        f"Device {name!r} is not available. Expected auto or one of: {', '.join(available)}. "
        "Leave --device out to take the best one."
    )
