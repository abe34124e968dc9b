from __future__ import annotations

from selfe_eval.doctor.device import computed, without_gpu


def test_a_device_that_computes_what_the_cpu_does_is_named() -> None:
    """What it is stands in the finding, with the version of torch."""
    finding = computed("NVIDIA H200, compute capability 9.0, 140 GiB", "cpu", uses_gpu=True)
    assert finding.status == "ok"
    assert finding.found.startswith("NVIDIA H200, compute capability 9.0, 140 GiB, torch ")


def test_a_device_that_cannot_compute_fails_only_where_it_would_have_to() -> None:
    """The meta device takes the work and has no results; with --device cpu it is a warning."""
    failed = computed("a GPU", "meta", uses_gpu=True)
    warned = computed("a GPU", "meta", uses_gpu=False)
    assert (failed.status, warned.status) == ("fail", "warn")
    assert "NotImplementedError" in failed.found
    assert "--device cpu" in failed.advice


def test_a_driver_without_a_gpu_for_torch_is_a_warning() -> None:
    """No GPU and no driver is an ordinary machine; a driver that torch makes nothing of is worth a word."""
    assert without_gpu(has_driver=False).status == "ok"
    assert without_gpu(has_driver=True).status == "warn"
