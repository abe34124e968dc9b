"""The bundled models against the hashes that travel with them. The judge's own weights are checked where it is loaded."""

from __future__ import annotations

from collections.abc import Iterator

from selfe_eval.doctor.findings import MODELS, Finding, guarded
from selfe_eval.generate.checkpoints import CheckpointFolder, bundled_checkpoints, verify_checkpoint


def model_findings() -> Iterator[Finding]:
    """One finding for each bundled model."""
    yield from guarded(MODELS, _all(), name="weights")


def weights_findings(checkpoint: CheckpointFolder) -> Iterator[Finding]:
    """Whether every file of a checkpoint is the one its configuration names."""
    name = f"weights of {checkpoint.name}"
    yield from guarded(MODELS, _verified(checkpoint, name), name=name)


def _all() -> Iterator[Finding]:
    for checkpoint in bundled_checkpoints().values():
        yield from weights_findings(checkpoint)


def _verified(checkpoint: CheckpointFolder, name: str) -> Iterator[Finding]:
    verify_checkpoint(checkpoint)
    seen = ", ".join(sha256[:8] for sha256 in checkpoint.config["files"].values())
    yield Finding(area=MODELS, name=name, status="ok", found=f"SHA-256 {seen} as in config.json")
