from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from selfe_eval.train.judge_loop import METRICS_FILE, LoopOptions, Trained, schedule, train_loop

OPTIONS = LoopOptions(
    num_steps=12,
    batch_size=4,
    learning_rate=0.05,
    warmup_steps=2,
    log_every=5,
    save_every=3,
)


class _StoppedError(Exception):
    """The machine went down."""


def _run(folder: Path, *, stop_at: int | None = None, resume: bool = True) -> Trained:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))

    def losses_at(step: int) -> dict[str, Tensor]:
        if step == stop_at:
            raise _StoppedError
        x = torch.randn(4, 3, generator=torch.Generator().manual_seed(step))
        return {"loss": (network(x) - x).pow(2).mean()}

    return train_loop(network, losses_at, OPTIONS, folder, resume=resume)


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path: Path) -> None:
    """Stopped between two saved states and started again, the weights are equal bit for bit."""
    whole = _run(tmp_path / "whole")
    with pytest.raises(_StoppedError):
        _run(tmp_path / "parts", stop_at=7)
    parts = _run(tmp_path / "parts")
    assert whole.weights.keys() == parts.weights.keys()
    assert all(torch.equal(whole.weights[name], parts.weights[name]) for name in whole.weights)


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    """Resuming at the end hands back the same weights without a step."""
    first = _run(tmp_path)
    second = _run(tmp_path, stop_at=0)
    assert all(torch.equal(first.weights[name], second.weights[name]) for name in first.weights)
    assert second.seconds == first.seconds


def test_without_resume_it_starts_anew(tmp_path: Path) -> None:
    """``resume=False`` ignores a saved state."""
    _run(tmp_path)
    with pytest.raises(_StoppedError):
        _run(tmp_path, stop_at=0, resume=False)


def test_metrics_are_lines_of_json(tmp_path: Path) -> None:
    """Every ``log_every`` steps and at the end a line says step, time, losses, gradient norm and rate."""
    _run(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / METRICS_FILE).read_text().splitlines()]
    assert [line["step"] for line in lines] == [5, 10, 12]
    assert set(lines[0]) == {"step", "seconds", "loss", "grad_norm", "learning_rate"}


def test_the_rate_rises_linearly_and_falls_to_zero() -> None:
    """Highest after the warm-up, half way down in the middle, zero at the end."""
    options = LoopOptions(num_steps=110, batch_size=1, learning_rate=1.0, warmup_steps=10)
    assert schedule(0, options) == pytest.approx(0.1)
    assert schedule(10, options) == pytest.approx(1.0)
    assert schedule(60, options) == pytest.approx(0.5)
    assert schedule(110, options) == pytest.approx(0.0)
