"""Which GPUs torch sees, and whether this build of torch has code for them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from selfe_eval.doctor.findings import DEVICE, Finding

_DRIVER = Path("/proc/driver/nvidia/version")
_ARCHITECTURE = re.compile(r"(sm|compute)_(\d+)(\d)([a-z]?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU as torch sees it."""

    name: str
    """The maker's name."""
    capability: tuple[int, int]
    """CUDA compute capability, (major, minor)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """What torch says about GPUs here."""

    torch: str
    """Version, with the build after a plus."""
    gpus: tuple[Gpu, ...]
    """In torch's order."""
    architectures: tuple[str, ...]
    """What torch was compiled for: ``sm_90`` (machine code), ``compute_90`` (to be compiled when loaded)."""
    has_driver: bool
    """Whether the system runs NVIDIA's driver."""


def read_devices() -> Devices:
    """Ask torch; complaints about an old driver show as a driver without a GPU."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        count = torch.cuda.device_count()
        gpus = tuple(
            Gpu(name=torch.cuda.get_device_name(index), capability=torch.cuda.get_device_capability(index))
            for index in range(count)
        )
        architectures = tuple(torch.cuda.get_arch_list())
    return Devices(
        torch=str(torch.__version__), gpus=gpus, architectures=architectures, has_driver=_DRIVER.exists()
    )


def device_findings(devices: Devices, *, uses_gpu: bool) -> list[Finding]:
    """Judge what torch sees.

    Args:
        devices: What it sees.
        uses_gpu: Whether numbers would be computed on a GPU.

    Returns:
        One finding for each GPU, or one that there is none.
    """
    if not devices.gpus:
        return [_without_gpu(devices)]
    return [_gpu(gpu, devices, uses_gpu=uses_gpu) for gpu in devices.gpus]


def is_built_for(capability: tuple[int, int], architectures: Sequence[str]) -> bool:
    """Whether code for one of these architectures runs on a GPU of this compute capability.

    Machine code runs on the same major and the same or a later minor version; ``compute_XY`` is compiled for any later
    one; a letter at the end ties either to exactly its version (CUDA C++ Programming Guide, sections on binary and
    PTX compatibility).

    >>> is_built_for((8, 9), ["sm_80", "sm_90"]), is_built_for((9, 0), ["sm_80", "sm_86"])
    (True, False)
    """
    for match in filter(None, map(_ARCHITECTURE.fullmatch, architectures)):
        kind, major, minor, letter = match.groups()
        version = int(major), int(minor)
        if letter:
            fits = version == capability
        elif kind == "sm":
            fits = version[0] == capability[0] and version[1] <= capability[1]
        else:
            fits = version <= capability
        if fits:
            return True
    return False


def _gpu(gpu: Gpu, devices: Devices, *, uses_gpu: bool) -> Finding:
    seen = f"{gpu.name}, compute capability {gpu.capability[0]}.{gpu.capability[1]}, torch {devices.torch}"
    if is_built_for(gpu.capability, devices.architectures):
        return Finding(area=DEVICE, name="GPU", status="ok", found=seen)
    return Finding(
        area=DEVICE,
        name="GPU",
        status="fail" if uses_gpu else "warn",
        found=f"{seen}, which is built for {', '.join(devices.architectures) or 'no GPU'}",
        advice="Install a torch and torchvision whose wheels have code for this GPU, or use --device cpu.",
    )


def _without_gpu(devices: Devices) -> Finding:
    if not devices.has_driver:
        return Finding(area=DEVICE, name="GPU", status="ok", found="none; everything runs on the CPU")
    return Finding(
        area=DEVICE,
        name="GPU",
        status="warn",
        found=f"NVIDIA's driver runs here, but torch {devices.torch} sees no GPU; everything runs on the CPU",
        advice="Install a CUDA build of torch and torchvision that this driver is new enough for, and see that "
        "CUDA_VISIBLE_DEVICES hides nothing.",
    )
