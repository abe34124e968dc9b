"""Two processes that train one model, as torchrun starts them, against one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from selfe.training.log import METRICS_FILE
from selfe.training.loop import train
from selfe.training.placement import Placement
from selfe.training.state import newest_state
from tests.end_to_end.training_ranks_driver import (
    BROKEN,
    HALF,
    KINDS,
    NUM_STEPS,
    OBJECTIVE_RUNS,
    OBJECTIVE_STEPS,
    options,
    train_objective,
    training,
)
from tests.unit.selfe import tiny

ROOT = Path(__file__).resolve().parents[2]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
TOLERANCE = 1e-5
"""Relative, of a loss. Processes add the parts of a gradient in another order; seen: 5e-8, and 1e-2 between two steps."""
AVERAGE_TOLERANCE = 2e-5
"""Absolute, of an averaged weight. Seen: 1e-8 with DDP and 4e-6 with FSDP, where six steps move a weight by 2e-3."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What one process and two have left behind."""

    folder: Path
    output: subprocess.CompletedProcess[str]

    def curve(self, name: str, metric: str = "loss", num_steps: int = NUM_STEPS) -> list[float]:
        lines = [json.loads(line) for line in (self.folder / name / METRICS_FILE).read_text().splitlines()]
        assert [line["step"] for line in lines] == list(range(1, num_steps + 1))
        return [line[metric] for line in lines]

    def refusals(self, name: str) -> list[list[str]]:
        return [json.loads((self.folder / f"refusals-{rank}.json").read_text())[name] for rank in (0, 1)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Everything that is trained here, with one start of two processes."""
    folder = tmp_path_factory.mktemp("ranks")
    train(training(Placement()), folder / "one", options())
    for name in ("one-then-ddp", "one-then-fsdp"):
        train(training(Placement()), folder / name, options(HALF))
    for name in OBJECTIVE_RUNS:
        train_objective(name, folder / f"{name}-one", Placement())
    output = subprocess.run(
        [*TORCHRUN, "-m", "tests.end_to_end.training_ranks_driver", str(folder)],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert output.returncode == 0, output.stderr
    for name in ("ddp-then-one", "fsdp-then-one"):
        train(training(Placement()), folder / name, options())
    return Trained(folder=folder, output=output)


@pytest.mark.parametrize("name", KINDS)
def test_two_processes_train_as_one(trained: Trained, name: str) -> None:
    """The loss of every step is that of one process, which computes the parts one after the other."""
    assert trained.curve(name) == pytest.approx(trained.curve("one"), rel=TOLERANCE)
    assert len(set(trained.curve("one"))) == NUM_STEPS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", OBJECTIVE_RUNS)
@pytest.mark.parametrize("metric", ["loss", "gradient_norm"])
def test_every_objective_trains_together(trained: Trained, name: str, kind: str, metric: str) -> None:
    """Passes without gradient, in forward mode, or twice with gradient, and too few rows for some: one process's numbers."""
    together = trained.curve(f"{name}-{kind}", metric, OBJECTIVE_STEPS)
    assert together == pytest.approx(trained.curve(f"{name}-one", metric, OBJECTIVE_STEPS), rel=TOLERANCE)


@pytest.mark.parametrize(
    "name",
    [
        "one-then-ddp",
        "one-then-fsdp",
        "ddp-then-one",
        "fsdp-then-one",
        "ddp-then-fsdp",
        "fsdp-then-ddp",
    ],
)
def test_a_training_goes_on_with_another_number_of_processes(trained: Trained, name: str) -> None:
    """Begun one way and ended another, the curve is that of one process throughout."""
    assert trained.curve(name) == pytest.approx(trained.curve("one"), rel=TOLERANCE)


def test_the_sharded_average_is_gathered_whole(trained: Trained) -> None:
    """What the first process of two gathers from its and the other's shards is the average of one process."""
    gathered = load_file(trained.folder / "average.safetensors")
    one = training(Placement())
    train(one, trained.folder / "one", options())
    for name, tensor in one.average.state_dict().items():
        assert torch.allclose(gathered[name], tensor, rtol=0, atol=AVERAGE_TOLERANCE), name


def test_parts_that_cannot_be_dealt_out_are_refused(trained: Trained) -> None:
    """Three parts for two processes: both say so before they compute anything."""
    for kind, message in trained.refusals("uneven"):
        assert kind == "UnevenPartsError"
        assert "3 parts cannot be dealt out evenly to 2 processes" in message


@pytest.mark.parametrize("kind", KINDS)
def test_infinite_data_in_one_process_stops_all_before_the_weights(trained: Trained, kind: str) -> None:
    """Both refuse the step and name its part; the part is kept, and the state before it trains on with sound data."""
    step, part = BROKEN
    for name, message in trained.refusals(f"nan-{kind}"):
        assert name == "NotFiniteError"
        assert f"Step {step} was refused" in message
        assert f"loss of part {part} = nan" in message
    folder = trained.folder / f"nan-{kind}"
    kept = load_file(folder / f"nan-step-{step:06d}.safetensors")
    assert {name.partition(".")[0] for name in kept} == {f"part{part}"}
    assert kept[f"part{part}.x0"][0, 0, 0] == torch.inf
    assert {"eps", "t", "s", "c.tokens", "dropped"} <= {name.partition(".")[2] for name in kept}
    state = newest_state(folder)
    assert state is not None
    assert state.step == step
    train(training(Placement(), tiny.RandomLatents()), folder, options())
    assert trained.curve(f"nan-{kind}") == pytest.approx(trained.curve("one"), rel=TOLERANCE)


def test_sigterm_to_one_process_saves_and_ends_all(trained: Trained) -> None:
    """Both leave after the same step with code 0, the state is saved, and one line says how to go on."""
    state = newest_state(trained.folder / "sigterm")
    assert state is not None
    assert 0 < state.step < NUM_STEPS
    assert not list(trained.folder.glob("not-stopped-*"))
    assert trained.output.stderr.count(f"after step {state.step} of {NUM_STEPS}") == 1
    assert "Start the same command again" in trained.output.stderr
    train(training(Placement()), trained.folder / "sigterm", options())
    assert trained.curve("sigterm") == pytest.approx(trained.curve("one"), rel=TOLERANCE)


def test_a_kill_at_any_moment_leaves_a_whole_state(tmp_path: Path) -> None:
    """Killed before or after any sync, rename or deletion of a save: the old state or the new one can be read whole."""
    driver = subprocess.run(
        [sys.executable, "-m", "tests.end_to_end.state_crash_driver", str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert driver.returncode == 0, driver.stderr
    outcome = json.loads(driver.stdout)
    assert outcome["wrong"] == []
    assert outcome["tried"] > 20
