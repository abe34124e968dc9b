from __future__ import annotations

import pytest

from selfe_eval.doctor.device import Devices, Gpu, device_findings, is_built_for
from selfe_eval.doctor.findings import Finding


def judged(*, architectures: tuple[str, ...] = ("sm_80", "sm_90"), uses_gpu: bool = True) -> Finding:
    gpu = Gpu(name="NVIDIA H200", capability=(9, 0))
    devices = Devices(torch="2.13.0+cu130", gpus=(gpu,), architectures=architectures, has_driver=True)
    (finding,) = device_findings(devices, uses_gpu=uses_gpu)
    return finding


@pytest.mark.parametrize(
    ("capability", "architecture"),
    [
        ((9, 0), "sm_90"),
        ((8, 9), "sm_86"),
        ((12, 0), "compute_80"),
        ((9, 0), "sm_90a"),
        ((12, 1), "sm_120"),
    ],
)
def test_code_runs_on_later_gpus_of_its_kind(capability: tuple[int, int], architecture: str) -> None:
    """sm_XY runs on X.Y and later minors, compute_XY on anything later, sm_XYa on X.Y."""
    assert is_built_for(capability, ["sm_50", architecture])


@pytest.mark.parametrize(
    ("capability", "architecture"),
    [((8, 6), "sm_89"), ((9, 0), "sm_86"), ((7, 0), "compute_80"), ((9, 3), "sm_90a"), ((9, 0), "gfx942")],
)
def test_code_does_not_run_on_other_gpus(capability: tuple[int, int], architecture: str) -> None:
    """Neither an earlier minor nor another major version runs machine code, nor another minor sm_XYa."""
    assert not is_built_for(capability, [architecture])


def test_a_gpu_that_torch_has_code_for_is_named() -> None:
    """Name, capability and build are what was found."""
    finding = judged()
    assert finding.status == "ok"
    assert finding.found == "NVIDIA H200, compute capability 9.0, torch 2.13.0+cu130"


def test_a_gpu_without_code_fails_only_where_it_would_compute() -> None:
    """With --device cpu the same GPU is a warning."""
    assert judged(architectures=("sm_80",)).status == "fail"
    assert judged(architectures=("sm_80",), uses_gpu=False).status == "warn"


def test_a_driver_without_a_gpu_for_torch_is_a_warning() -> None:
    """No GPU and no driver is an ordinary machine; a driver that torch makes nothing of is worth a word."""
    plain = Devices(torch="2.13.0", gpus=(), architectures=(), has_driver=False)
    unseen = Devices(torch="2.13.0+cpu", gpus=(), architectures=(), has_driver=True)
    assert [finding.status for finding in device_findings(plain, uses_gpu=False)] == ["ok"]
    assert [finding.status for finding in device_findings(unseen, uses_gpu=False)] == ["warn"]
