from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from selfe.objectives.flow_matching import FlowMatching
from selfe.training import parallel
from selfe.training.errors import (
    FolderInUseError,
    MissingTensorboardError,
    NotFiniteError,
    TrainingStateError,
)
from selfe.training.log import METRICS_FILE, training_seconds
from selfe.training.loop import LoopEvent, LoopOptions, train
from selfe.training.placement import Placement
from selfe.training.state import copy_state, load_state, newest_state, save_state
from selfe.training.trainer import Captioned, ModelTraining, Recipe
from tests.unit.selfe import tiny

CPU = torch.device("cpu")
OPTIONS = LoopOptions(num_steps=6, log_every=1, save_every=2)


def training(
    source: tiny.RandomLatents | None = None, *, num_parts: int = 1, placement: Placement | None = None
) -> ModelTraining:
    recipe = Recipe(objective=FlowMatching(), num_steps=6, warmup_steps=2, micro_batches=num_parts, seed=5)
    data = source or tiny.RandomLatents()
    return ModelTraining(tiny.config(), recipe, data, device=CPU, placement=placement or Placement())


def assert_same_state(first: ModelTraining, second: ModelTraining) -> None:
    tensors = second.state_dict()
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, tensors[name]), name


@dataclass
class _AskedFor(tiny.RandomLatents):
    """Notes which parts it was asked for."""

    num_rows: int = 4
    asked: list[tuple[int, int]] = field(default_factory=list)

    def batch(self, step: int, part: int) -> Captioned:
        self.asked.append((step, part))
        return super().batch(step, part)


class _BrokenFrom(tiny.RandomLatents):
    """NaN in one part of one step."""

    def batch(self, step: int, part: int) -> Captioned:
        data = super().batch(step, part)
        if (step, part) == (3, 1):
            data.latents[2, 1, 0] = torch.nan
        return data


def test_one_process_computes_all_parts() -> None:
    """Alone it is the first, its parts are all of them in their order, and its numbers are everyone's."""
    assert parallel.is_first()
    assert list(parallel.own_parts(3)) == [0, 1, 2]
    assert parallel.any_rank(flag=True)
    assert not parallel.any_rank(flag=False)
    assert parallel.mean_over_ranks({"loss": 2.0, "images": 8.0}) == {"loss": 2.0, "images": 8.0}
    source = _AskedFor()
    training(source, num_parts=3).train_step(4)
    assert source.asked == [(4, 0), (4, 1), (4, 2)]


def test_the_gradient_is_the_mean_over_parts() -> None:
    """Two parts one after the other leave the mean of the gradients that each of them leaves alone."""
    run = training(num_parts=2)
    gradients = []
    for part in (0, 1):
        run.optimiser.zero_grad()
        run._backward(0, part)
        gradients.append([2 * p.grad for p in run.model.parameters() if p.grad is not None])
    run.optimiser.zero_grad()
    for part in (0, 1):
        run._backward(0, part)
    both = [p.grad for p in run.model.parameters() if p.grad is not None]
    assert len(both) > 20
    for first, second, sum_of_parts in zip(*gradients, both, strict=True):
        assert torch.allclose((first + second) / 2, sum_of_parts, atol=1e-7)
    assert any((first - second).abs().max() > 1e-3 for first, second in zip(*gradients, strict=True))


def test_a_step_that_is_not_finite_leaves_no_trace(tmp_path: Path) -> None:
    """The error names step, part and file; weights and state are those before the step, to the bit."""
    before = training(num_parts=2)
    train(before, tmp_path / "before", LoopOptions(num_steps=3))
    broken = training(_BrokenFrom(), num_parts=2)
    with pytest.raises(NotFiniteError, match=r"Step 3 was refused.*loss of part 1 = nan.*nan-step-000003"):
        train(broken, tmp_path / "broken", OPTIONS)
    assert_same_state(before, broken)

    kept = load_file(tmp_path / "broken" / "nan-step-000003.safetensors")
    assert kept["part1.x0"][2, 1, 0].isnan()
    assert {"part1.eps", "part1.t", "part1.s", "part1.c.tokens", "part1.phi.mask"} <= kept.keys()
    assert not any(name.startswith("part0") for name in kept)
    whole = training(num_parts=2)
    train(whole, tmp_path / "whole", OPTIONS)
    mended = training(num_parts=2)
    train(mended, tmp_path / "broken", OPTIONS)
    assert_same_state(whole, mended)


def test_an_infinite_gradient_is_refused_too(tmp_path: Path) -> None:
    """Where every loss is finite but the gradient is not, all parts are kept."""
    run = training(num_parts=2)
    parameter = run.model.denoiser.image_out.bias
    parameter.register_hook(lambda gradient: gradient * torch.inf)
    before = parameter.detach().clone()
    with pytest.raises(NotFiniteError, match=r"refused before it reached the weights: gradient norm = "):
        train(run, tmp_path, OPTIONS)
    assert torch.equal(parameter, before)
    kept = load_file(tmp_path / "nan-step-000000.safetensors")
    assert {"part0.x0", "part1.x0"} <= kept.keys()


def test_sigterm_finishes_the_step_and_saves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It leaves with code 0 and says how to go on; going on ends bit for bit where an undisturbed run does."""

    def stop(event: LoopEvent) -> None:
        if event.step == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as left:
        train(training(), tmp_path / "parts", OPTIONS, on_step=stop)
    assert left.value.code == 0
    assert signal.getsignal(signal.SIGTERM) is before
    assert "after step 3 of 6" in capsys.readouterr().err
    resumed, whole = training(), training()
    train(resumed, tmp_path / "parts", OPTIONS)
    train(whole, tmp_path / "whole", OPTIONS)
    assert_same_state(whole, resumed)


def test_ctrl_c_finishes_the_step_and_saves(tmp_path: Path) -> None:
    """An interrupt between two saves loses no step: the state is that of the step it came in, and going on is exact."""

    def stop(event: LoopEvent) -> None:
        if event.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(training(), tmp_path / "parts", OPTIONS, on_step=stop)
    state = newest_state(tmp_path / "parts")
    assert state is not None
    assert state.step == 3
    assert signal.getsignal(signal.SIGINT) is before
    resumed, whole = training(), training()
    train(resumed, tmp_path / "parts", OPTIONS)
    train(whole, tmp_path / "whole", OPTIONS)
    assert_same_state(whole, resumed)


def test_a_second_ctrl_c_keeps_the_state_that_was_saved_last(tmp_path: Path) -> None:
    """An interrupt passes through as it is, between two saves, and the older state is whole."""

    def interrupt(event: LoopEvent) -> None:
        if event.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(training(), tmp_path, OPTIONS, on_step=interrupt)
    state = newest_state(tmp_path)
    assert state is not None
    assert state.step == 2
    train(training(), tmp_path, OPTIONS)


def test_two_trainings_do_not_share_a_folder(tmp_path: Path) -> None:
    """While one is at work another is refused by name of the folder; afterwards the folder is free."""
    refused = []

    def intrude(_: LoopEvent) -> None:
        with pytest.raises(FolderInUseError, match="Another training runs in") as error:
            train(training(), tmp_path, OPTIONS)
        refused.append(str(error.value))

    train(training(), tmp_path, LoopOptions(num_steps=1), on_step=intrude)
    assert str(tmp_path) in refused[0]
    train(training(), tmp_path, LoopOptions(num_steps=2))


def test_a_half_written_state_is_passed_over(tmp_path: Path) -> None:
    """What a kill left half written is no state; it goes, and only the newest whole state stays."""
    train(training(), tmp_path, LoopOptions(num_steps=2))
    (tmp_path / "state-000004.partial").mkdir()
    (tmp_path / "state-000004.partial" / "state.json").write_text("{")
    train(training(), tmp_path, OPTIONS)
    assert [path.name for path in tmp_path.glob("state-*")] == ["state-000006"]


def test_a_damaged_state_is_refused_by_name(tmp_path: Path) -> None:
    """A truncated file of weights or settings is an error that names the folder before any step."""
    train(training(), tmp_path, LoopOptions(num_steps=2))
    (shard,) = (tmp_path / "state-000002").glob("*.safetensors")
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 2])
    with pytest.raises(TrainingStateError, match=r"state-000002 cannot be read"):
        train(training(), tmp_path, OPTIONS)
    shard.write_bytes(content)
    (tmp_path / "state-000002" / "state.json").write_text("{")
    with pytest.raises(TrainingStateError, match=r"state-000002 cannot be read"):
        train(training(), tmp_path, OPTIONS)


def test_a_state_of_another_network_is_refused(tmp_path: Path) -> None:
    """A tensor that is missing, or has another shape, is an error and not a network half loaded."""
    save_state(tmp_path, 1, {"weights": torch.ones(3)}, {})
    state = newest_state(tmp_path)
    assert state is not None
    for wanted in ({"other": torch.zeros(3)}, {"weights": torch.zeros(4)}):
        with pytest.raises(TrainingStateError, match="cannot be read into this network"):
            load_state(state, wanted)


def test_a_training_begins_where_another_one_stands(tmp_path: Path) -> None:
    """A copied state is gone on from as if it were the folder's own, and the other folder keeps its own."""
    train(training(), tmp_path / "first", LoopOptions(num_steps=2))
    state = newest_state(tmp_path / "first")
    assert state is not None
    copy_state(state, tmp_path / "second")
    whole, parts = training(), training()
    train(whole, tmp_path / "whole", OPTIONS)
    train(parts, tmp_path / "second", OPTIONS)
    assert_same_state(whole, parts)
    assert newest_state(tmp_path / "first") == state


def test_recomputed_activations_change_no_bit() -> None:
    """Trained with activations computed again in the backward pass, every tensor is that of a training that kept them."""
    kept, recomputed = training(), training(placement=Placement(checkpoint_activations=True))
    assert all(block.recompute for block in recomputed.model.denoiser.blocks())
    for step in range(2):
        kept.train_step(step)
        recomputed.train_step(step)
    assert_same_state(kept, recomputed)


def test_both_networks_are_compiled() -> None:
    """The average is called in training too; compiling, which takes minutes, begins with the first call."""
    run = training(placement=Placement(compile=True))
    for network in (run.model, run.average):
        assert all(block._compiled_call_impl is not None for block in network.denoiser.blocks())


def test_no_state_holds_a_pickle(tmp_path: Path) -> None:
    """A state is safetensors and one JSON document, readable by whoever trusts neither."""
    train(training(), tmp_path, LoopOptions(num_steps=1))
    names = {path.suffix for path in (tmp_path / "state-000001").iterdir()}
    assert names == {".safetensors", ".json"}


def test_metrics_count_images_and_seconds(tmp_path: Path) -> None:
    """Images a second times seconds a step is the batch: rows of a part times parts."""
    train(training(num_parts=3), tmp_path, LoopOptions(num_steps=4, log_every=2))
    records = [json.loads(line) for line in (tmp_path / METRICS_FILE).read_text().splitlines()]
    for record in records:
        assert record["images_per_second"] * record["seconds_per_step"] == pytest.approx(24)
    assert training_seconds(tmp_path) == pytest.approx(2 * sum(r["seconds_per_step"] for r in records))


def test_tensorboard_gets_the_lines_of_the_log(tmp_path: Path) -> None:
    """Its event files hold each number of metrics.jsonl under its name and step, also after a resume."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for num_steps in (2, 4):
        train(training(), tmp_path, LoopOptions(num_steps=num_steps, log_every=1, tensorboard=True))
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    records = [json.loads(line) for line in (tmp_path / METRICS_FILE).read_text().splitlines()]
    seen = {event.step: event.value for event in events.Scalars("loss")}
    assert seen == pytest.approx({record["step"]: record["loss"] for record in records})
    assert set(events.Tags()["scalars"]) == records[0].keys() - {"step"}


def test_missing_tensorboard_is_refused_before_any_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for without the package, the training does not begin and the message says what to install."""
    monkeypatch.setitem(
        sys.modules, "tensorboard", None
    )  # what Python itself does for a module it must not find
    source = _AskedFor()
    with pytest.raises(MissingTensorboardError, match="pip install tensorboard"):
        train(training(source), tmp_path, LoopOptions(num_steps=1, tensorboard=True))
    assert source.asked == []


def test_a_state_that_cannot_take_its_name_leaves_the_one_before(tmp_path: Path) -> None:
    """A folder that refuses what surrounds the tensors is the same error as a disk that refuses them."""
    (tmp_path / "state-000002.partial").write_bytes(b"")
    with pytest.raises(TrainingStateError, match=r"state-000002 could not be written"):
        save_state(tmp_path, 2, {"weights": torch.ones(3)}, {})


def test_a_state_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    """Where a save fails, the error says so in one paragraph, and the older state is still the newest."""
    save_state(tmp_path, 1, {"weights": torch.ones(3)}, {})
    with pytest.raises(TrainingStateError, match=r"state-000002 could not be written"):
        save_state(tmp_path, 2, {"weights": torch.ones(3, device="meta")}, {})
    state = newest_state(tmp_path)
    assert state is not None
    assert state.step == 1
