"""A variant's checkpoint is used as it is where it is finished, and only if it is the one that is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from selfe.checkpoint import CONFIG_FILE
from selfe_eval.errors import UsageError
from selfe_eval.train import ablation
from selfe_eval.train.ablation import budget_of, stated_training, tiny_training, train_variant

BUDGET = budget_of(num_steps=100, batch_size=8, warm_start_steps=60, is_smoke=False)
TRAINING = tiny_training("x", "self_e:anneal_steps=17", BUDGET, seed=2)
OPTIONS = {
    "name": "self_e",
    "target": "renorm",
    "anneal_steps": 17,
    "evaluation_time": None,
    "noise_share": 0.0,
    "equal_delta": False,
    "aux_start": None,
    "aux_weight": 0.9,
}
STATED = {
    "objective": "self_e",
    "objective_options": OPTIONS,
    "steps": 100,
    "warm_start_steps": 60,
    "batch_size": 8,
    "distinct_scenes": 81_920,
    "seed": 2,
}


def finished(folder: Path, **changes: Any) -> Path:
    """A folder with what a finished training leaves of its settings."""
    checkpoint = folder / "checkpoint"
    checkpoint.mkdir(parents=True)
    (checkpoint / CONFIG_FILE).write_text(json.dumps({"training": {**STATED, **changes}}))
    return folder


def test_a_finished_training_is_not_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its checkpoint is what comes back; with fewer steps than asked it is trained."""
    begun: list[Path] = []
    monkeypatch.setattr(ablation, "train_tiny", lambda _training, folder, **_: begun.append(folder))
    done, half = finished(tmp_path / "done"), finished(tmp_path / "half", steps=50)

    for folder in (done, half, tmp_path / "new"):
        assert train_variant(TRAINING, folder, device="cpu", on_phase=print) == folder / "checkpoint"
    assert begun == [half, tmp_path / "new"]


@pytest.mark.parametrize(
    "changes",
    [
        {"objective_options": {**OPTIONS, "noise_share": 0.15}},
        {"warm_start_steps": 0},
        {"batch_size": 64},
        {"distinct_scenes": 64},
        {"seed": 3},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    """As many steps with other settings are not what the plan says: the setting, both values and the way out are named."""
    name = next(iter(changes))

    with pytest.raises(UsageError, match=rf"trained otherwise: {name} is .*expected .*--out"):
        train_variant(TRAINING, finished(tmp_path, **changes), device="cpu", on_phase=print)


def test_what_is_no_checkpoint_states_nothing(tmp_path: Path) -> None:
    """A missing, damaged or foreign file says nothing of a training."""
    assert stated_training(tmp_path) == {}
    for content in ("{", "[]", "{}", '{"training": 3}'):
        (tmp_path / CONFIG_FILE).write_text(content)
        assert stated_training(tmp_path) == {}
