from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from selfe.training.errors import SettingsChangedError
from selfe.training.log import METRICS_FILE
from selfe_eval.train.judge_training import JudgeRecipe, JudgeTraining, Trained, schedule, train_network

RECIPE = JudgeRecipe(
    num_steps=12,
    batch_size=4,
    learning_rate=0.05,
    warmup_steps=2,
    log_every=5,
    save_every=3,
)


class _StoppedError(Exception):
    """The machine went down."""


def _run(folder: Path, *, stop_at: int | None = None, seed: int = 0) -> Trained:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv1d(3, 3, 1), nn.BatchNorm1d(3))

    def losses_at(step: int) -> dict[str, Tensor]:
        if step == stop_at:
            raise _StoppedError
        x = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(step))
        return {"loss": (network(x) - x).pow(2).mean()}

    return train_network(JudgeTraining(network, losses_at, RECIPE, seed=seed), folder)


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path: Path) -> None:
    """Stopped between two saved states and started again, weights and running statistics are equal bit for bit."""
    whole = _run(tmp_path / "whole")
    with pytest.raises(_StoppedError):
        _run(tmp_path / "parts", stop_at=7)
    parts = _run(tmp_path / "parts")
    assert whole.weights.keys() == parts.weights.keys()
    assert all(torch.equal(whole.weights[name], parts.weights[name]) for name in whole.weights)


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    """Resuming at the end hands back the same weights, seconds and metrics without a step."""
    first = _run(tmp_path)
    second = _run(tmp_path, stop_at=0)
    assert all(torch.equal(first.weights[name], second.weights[name]) for name in first.weights)
    assert (second.seconds, second.metrics) == (first.seconds, first.metrics)


def test_another_seed_is_another_training(tmp_path: Path) -> None:
    """A folder that was begun with one seed is refused with another, which its scenes would follow."""
    _run(tmp_path)
    with pytest.raises(SettingsChangedError, match="seed was 0 and is 1"):
        _run(tmp_path, seed=1)


def test_a_line_of_metrics_is_written_once(tmp_path: Path) -> None:
    """Every ``log_every`` steps and at the end, also where a kill came between a line and the next state."""
    with pytest.raises(_StoppedError):
        _run(tmp_path, stop_at=5)
    _run(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / METRICS_FILE).read_text().splitlines()]
    assert [line["step"] for line in lines] == [5, 10, 12]
    assert {"loss", "gradient_norm", "lr", "seconds_per_step", "images_per_second"} < set(lines[0])


def test_the_rate_rises_linearly_and_falls_to_zero() -> None:
    """Highest after the warm-up, half way down in the middle, zero at the end."""
    recipe = JudgeRecipe(num_steps=110, batch_size=1, learning_rate=1.0, warmup_steps=10)
    assert schedule(0, recipe) == pytest.approx(0.1)
    assert schedule(10, recipe) == pytest.approx(1.0)
    assert schedule(60, recipe) == pytest.approx(0.5)
    assert schedule(110, recipe) == pytest.approx(0.0)
