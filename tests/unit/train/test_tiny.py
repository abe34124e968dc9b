"""Trainings of the smallest network that share a warm start of three steps."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from selfe.autoencoder import Autoencoder
from selfe.checkpoint import load_checkpoint
from selfe.objectives.flow_matching import FlowMatching
from selfe.objectives.imm import IMM
from selfe.objectives.self_e import SelfE
from selfe.training.errors import SettingsChangedError
from selfe.training.log import METRICS_FILE, read_metrics
from selfe.training.state import newest_state
from selfe_eval.errors import UsageError
from selfe_eval.resources import checkpoints_dir
from selfe_eval.train.generator import Ends, train_generator
from selfe_eval.train.latents import Draw, load_pool
from selfe_eval.train.tiny import AUTOENCODER_OF, TinyTraining, tiny_plan, train_tiny

pytestmark = pytest.mark.skipif(
    not (checkpoints_dir() / AUTOENCODER_OF / "config.json").is_file(),
    reason="the bundled weights are not in this checkout",
)

WARM = "warm-start-seed-0"
SELF_E = TinyTraining(
    name="self_e",
    objective=SelfE(anneal_steps=1),
    num_steps=5,
    warm_start_steps=3,
    batch_size=8,
    num_scenes=16,
    is_smoke=True,
)


def trained(training: TinyTraining, folder: Path) -> list[str]:
    """Train in ``folder / training.name``; what was done, each thing once, in order."""
    done: dict[str, None] = {}

    def on_phase(what: str, _done: int, _total: int, _metrics: Mapping[str, float]) -> None:
        done[what] = None

    train_tiny(training, folder / training.name, device="cpu", on_phase=on_phase)
    return list(done)


def state_of(folder: Path) -> dict[str, Tensor]:
    state = newest_state(folder)
    assert state is not None
    tensors: dict[str, Tensor] = {}
    for path in state.folder.glob("*.safetensors"):
        tensors |= load_file(path)
    return tensors


def assert_same_tensors(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one finished training and the warm start that it made."""
    folder = tmp_path_factory.mktemp("train")
    assert trained(SELF_E, folder) == ["encoding scenes", WARM, "self_e"]
    return folder


def test_a_training_from_a_shared_warm_start_is_the_one_that_does_all_by_itself(
    out: Path, tmp_path: Path
) -> None:
    """Weights, average and optimiser end as the same bits as without the copy."""
    autoencoder = load_checkpoint(checkpoints_dir() / AUTOENCODER_OF).autoencoder
    assert isinstance(autoencoder, Autoencoder)
    pool = load_pool(autoencoder, out / "latents", num_scenes=16, draw=Draw(num_rows=8, seed=3))
    train_generator(
        tiny_plan(SELF_E),
        pool,
        Ends(autoencoder=autoencoder),
        tmp_path / "alone",
        device=torch.device("cpu"),
        on_step=lambda _: None,
    )

    assert_same_tensors(state_of(out / "self_e"), state_of(tmp_path / "alone"))


def test_trainings_of_one_seed_share_a_warm_start_whatever_comes_after_it(out: Path) -> None:
    """Another objective and another length find it done: it stays as it was, and its log is the beginning of theirs."""
    before = (out / WARM / "checkpoint" / "model.safetensors").stat().st_mtime_ns
    longer = replace(SELF_E, name="longer", objective=FlowMatching(), num_steps=6)
    grouped = replace(SELF_E, name="grouped", objective=IMM(), num_steps=4)

    assert trained(longer, out) == ["longer"]
    assert trained(grouped, out) == ["grouped"]
    assert (out / WARM / "checkpoint" / "model.safetensors").stat().st_mtime_ns == before
    shared = (out / WARM / METRICS_FILE).read_text()
    logs = [(out / name / METRICS_FILE).read_text() for name in ("self_e", "longer", "grouped")]
    assert all(log.startswith(shared) for log in logs)
    assert [read_metrics(out / name)[-1]["step"] for name in (WARM, "longer", "grouped")] == [3, 6, 4]
    records = [
        json.loads((out / name / "checkpoint" / "config.json").read_bytes())["training"]
        for name in ("self_e", "longer", "grouped")
    ]
    assert [(record["steps"], record["warm_start_steps"]) for record in records] == [(5, 3), (6, 3), (4, 3)]


def test_a_training_that_is_stopped_in_its_warm_start_goes_on_there(out: Path, tmp_path: Path) -> None:
    """SIGTERM in the first step leaves a state of the warm start and none of the training; the end is the same bits."""

    def on_phase(what: str, done: int, _total: int, _metrics: Mapping[str, float]) -> None:
        if (what, done) == (WARM, 1):
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(SystemExit):
        train_tiny(SELF_E, tmp_path / "self_e", device="cpu", on_phase=on_phase)
    stopped = newest_state(tmp_path / WARM)
    assert stopped is not None
    assert stopped.step == 2
    assert newest_state(tmp_path / "self_e") is None

    trained(SELF_E, tmp_path)
    assert_same_tensors(state_of(out / "self_e"), state_of(tmp_path / "self_e"))


def test_a_longer_warm_start_is_refused(out: Path) -> None:
    """The message says where it is and how long it is, and no folder is made for the training."""
    shorter = replace(SELF_E, name="shorter", warm_start_steps=2)

    with pytest.raises(UsageError, match=rf"{WARM} has 3 steps already and 2 are wanted"):
        trained(shorter, out)
    assert not (out / "shorter").exists()


def test_a_warm_start_with_other_batches_is_refused(out: Path) -> None:
    """It was trained with other numbers, and the training would be neither the old one nor the new one."""
    with pytest.raises(SettingsChangedError, match="batch_size was 8 and is 4"):
        trained(replace(SELF_E, name="smaller", batch_size=4), out)


def test_a_training_without_a_warm_start_makes_none(tmp_path: Path) -> None:
    """Its learning rate falls from the end of the warm-up on, as the paper's does."""
    alone = replace(SELF_E, num_steps=1, warm_start_steps=0)

    assert trained(alone, tmp_path) == ["encoding scenes", "self_e"]
    assert tiny_plan(alone).recipe.decay_start == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latents", "self_e"]
