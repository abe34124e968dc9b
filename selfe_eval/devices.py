"""Which device to compute on. Imports torch only when asked."""

from __future__ import annotations

from selfe_eval.errors import UsageError


def resolve_device(name: str) -> str:
    """A torch device string for ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Args:
        name: ``auto`` takes the first GPU where there is one, else the CPU.

    Raises:
        UsageError: the name is not a device, or this machine does not have it.
    """
    import torch

    available = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if name == "auto":
        return "cuda" if len(available) > 1 else "cpu"
    if name in available or (name == "cuda" and len(available) > 1):
        return name
    raise UsageError(
        f"Device {name!r} is not available. Expected auto or one of: {', '.join(available)}. "
        "Leave --device out to take the best one."
    )
