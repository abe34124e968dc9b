"""Which GPUs torch sees, and whether they compute what the CPU does: a torch without code for a GPU cannot."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.nn import functional

from selfe_eval.doctor.findings import DEVICE, Finding

TOLERANCE = 1e-2
"""Of the largest value: TF32, which GPUs may compute convolutions in, is right to about a thousandth."""
_DRIVER = Path("/proc/driver/nvidia/version")


def device_findings(*, uses_gpu: bool) -> Iterator[Finding]:
    """One finding for each GPU, or one that there is none.

    Args:
        uses_gpu: Whether numbers would be computed on a GPU.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an old driver shows as a driver without a GPU
        count = torch.cuda.device_count()
    if count == 0:
        yield without_gpu(has_driver=_DRIVER.exists())
    for index in range(count):
        gpu = torch.cuda.get_device_properties(index)
        seen = f"{gpu.name}, compute capability {gpu.major}.{gpu.minor}, {gpu.total_memory / 2**30:.0f} GiB"
        yield computed(seen, f"cuda:{index}", uses_gpu=uses_gpu)


def computed(seen: str, device: str, *, uses_gpu: bool) -> Finding:
    """Whether a small convolution and a matrix product come out on a device as on the CPU.

    Args:
        seen: What the device is.
        device: A torch device string.
        uses_gpu: Whether numbers would be computed on a GPU.
    """
    trouble = _trouble(device)
    seen = f"{seen}, torch {torch.__version__}"
    if not trouble:
        return Finding(area=DEVICE, name="GPU", status="ok", found=f"{seen}; computes what the CPU does")
    return Finding(
        area=DEVICE,
        name="GPU",
        status="fail" if uses_gpu else "warn",
        found=f"{seen}: {trouble}",
        advice="Install a torch and torchvision whose wheels have code for this GPU, or use --device cpu.",
    )


def without_gpu(*, has_driver: bool) -> Finding:
    """What a machine is on which torch sees no GPU.

    Args:
        has_driver: Whether the system runs NVIDIA's driver.
    """
    if not has_driver:
        return Finding(area=DEVICE, name="GPU", status="ok", found="none; everything runs on the CPU")
    return Finding(
        area=DEVICE,
        name="GPU",
        status="warn",
        found=f"NVIDIA's driver runs here, but torch {torch.__version__} sees no GPU; everything runs on the CPU",
        advice="Install a CUDA build of torch and torchvision that this driver is new enough for, and see that "
        "CUDA_VISIBLE_DEVICES hides nothing.",
    )


def _trouble(device: str) -> str:
    """What is wrong with the arithmetic of a device; empty for nothing."""
    generator = torch.Generator().manual_seed(0)
    image, kernels = (
        torch.randn(2, 3, 32, 32, generator=generator),
        torch.randn(8, 3, 3, 3, generator=generator),
    )
    matrix = torch.randn(64, 64, generator=generator)
    try:
        there = torch.cat(
            [
                functional.conv2d(image.to(device), kernels.to(device)).flatten(),
                (matrix.to(device) @ matrix.to(device)).flatten(),
            ]
        ).cpu()
    except RuntimeError as error:
        return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    here = torch.cat([functional.conv2d(image, kernels).flatten(), (matrix @ matrix).flatten()])
    difference = float((there - here).abs().max() / here.abs().max())
    return (
        ""
        if difference <= TOLERANCE
        else f"its results differ from the CPU's by {difference:.1g} of the largest"
    )
