from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from selfe.training.loop import LoopOptions, train


class Counting:
    """A trainable that counts its steps."""

    def __init__(self) -> None:
        self.count = torch.zeros(1)

    def train_step(self, step: int) -> dict[str, torch.Tensor | float]:
        self.count += 1
        return {"images": 1.0, "loss": float(step)}

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.count = state["count"]

    def settings(self, step: int) -> dict[str, Any]:
        del step
        return {}


def test_a_kill_while_the_last_checkpoint_is_written_loses_no_checkpoint(tmp_path: Path) -> None:
    """A training that dies in its last export exports again when it goes on, and ends with all its steps."""
    options = LoopOptions(num_steps=4, log_every=1, save_every=2, sample_every=2)
    exported: list[int] = []

    def killed_at_the_end(step: int) -> None:
        if step == 4:
            raise KeyboardInterrupt
        exported.append(step)

    with pytest.raises(KeyboardInterrupt):
        train(Counting(), tmp_path, options, on_sample=killed_at_the_end)
    resumed = Counting()
    train(resumed, tmp_path, options, on_sample=exported.append)

    assert exported == [2, 4]
    assert resumed.count.item() == 4
