"""What ``test_training_ranks.py`` has two processes do together: ``torchrun --nproc-per-node 2 ... FOLDER``.

Trains the tiny network in sub-folders of FOLDER, some of which hold a state that one process has left there, and ends by a
SIGTERM that the second process sends itself. What a process was refused stands in ``refusals-RANK.json``.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

from selfe.objectives.meanflow import MeanFlow
from selfe.objectives.protocol import Objective
from selfe.objectives.registry import OBJECTIVES
from selfe.objectives.self_e import SelfE
from selfe.objectives.shortcut import Shortcut
from selfe.training import parallel
from selfe.training.errors import TrainingError
from selfe.training.loop import LoopEvent, LoopOptions, train
from selfe.training.placement import Parallel, Placement
from selfe.training.trainer import Captioned, ModelTraining, Recipe
from tests.unit.selfe import tiny

NUM_STEPS = 6
HALF = 3
OBJECTIVE_STEPS = 3
NUM_PARTS = 4
BROKEN = (2, 3)
"""Step and part of the data that ``BrokenLatents`` breaks; the part is the second process's."""
KINDS: tuple[Parallel, ...] = ("ddp", "fsdp")
CPU = torch.device("cpu")


class BrokenLatents(tiny.RandomLatents):
    """One latent of one part of one step is infinite."""

    def batch(self, step: int, part: int) -> Captioned:
        data = super().batch(step, part)
        if (step, part) == BROKEN:
            data.latents[0, 0, 0] = torch.inf
        return data


class WithFakes(tiny.RandomLatents):
    """Every caption backwards stands for it with the phrase "fake image"."""

    def batch(self, step: int, part: int) -> Captioned:
        data = super().batch(step, part)
        return data._replace(c_fake=tiny.condition(data.c.tokens.flip(1)))


OBJECTIVE_RUNS: dict[str, tuple[Objective, tiny.RandomLatents]] = {
    **{name: (objective(), tiny.RandomLatents()) for name, objective in OBJECTIVES.items()},
    "auxiliary": (SelfE(aux_start=0), WithFakes()),
    "self_e-of-one-row": (SelfE(), tiny.RandomLatents(1)),
    "meanflow-of-one-row": (MeanFlow(), tiny.RandomLatents(1)),
    "shortcut-of-one-row": (Shortcut(), tiny.RandomLatents(1)),
}
"""Objective and data by the name of the run; parts of one row are where one process needs a pass and another does not."""


def training(
    placement: Placement,
    source: tiny.RandomLatents | None = None,
    *,
    objective: Objective = SelfE(),  # noqa: B008 - frozen
    num_parts: int = NUM_PARTS,
) -> ModelTraining:
    recipe = Recipe(
        objective=objective,
        num_steps=NUM_STEPS,
        warm_start_steps=1,
        warmup_steps=2,
        micro_batches=num_parts,
        seed=5,
    )
    return ModelTraining(
        tiny.config(), recipe, source or tiny.RandomLatents(), device=CPU, placement=placement
    )


def train_objective(name: str, folder: Path, placement: Placement) -> None:
    objective, source = OBJECTIVE_RUNS[name]
    run = training(placement, source, objective=objective, num_parts=2)
    train(run, folder, LoopOptions(num_steps=OBJECTIVE_STEPS, log_every=1))


def options(num_steps: int = NUM_STEPS) -> LoopOptions:
    return LoopOptions(num_steps=num_steps, log_every=1, save_every=2)


def share(folder: Path, name: str, kind: Parallel, num_steps: int = NUM_STEPS) -> ModelTraining:
    run = training(Placement(parallel=kind))
    train(run, folder / name, options(num_steps))
    return run


def take_over(source: Path, folder: Path) -> None:
    """Begin a training folder with what lies in another."""
    if parallel.is_first():
        shutil.copytree(source, folder)
    parallel.meet()


def refusal(action: Callable[[], object]) -> list[str]:
    try:
        action()
    except TrainingError as error:
        return [type(error).__name__, str(error)]
    return []


def work(folder: Path) -> None:
    share(folder, "ddp", "ddp")
    average = share(folder, "fsdp", "fsdp").consolidated_average()
    assert (average is not None) == parallel.is_first()
    if average is not None:
        save_file(average.state_dict(), folder / "average.safetensors")
    share(folder, "one-then-ddp", "ddp")
    share(folder, "one-then-fsdp", "fsdp")
    share(folder, "ddp-then-one", "ddp", HALF)
    share(folder, "fsdp-then-one", "fsdp", HALF)
    take_over(folder / "ddp-then-one", folder / "ddp-then-fsdp")
    share(folder, "ddp-then-fsdp", "fsdp")
    take_over(folder / "fsdp-then-one", folder / "fsdp-then-ddp")
    share(folder, "fsdp-then-ddp", "ddp")

    for name in OBJECTIVE_RUNS:
        for kind in KINDS:
            train_objective(name, folder / f"{name}-{kind}", Placement(parallel=kind))

    refusals = {
        "uneven": refusal(lambda: training(Placement(), num_parts=3)),
        **{
            f"nan-{kind}": refusal(
                lambda kind=kind: train(  # type: ignore[misc]
                    training(Placement(parallel=kind), BrokenLatents()), folder / f"nan-{kind}", options()
                )
            )
            for kind in KINDS
        },
    }
    (folder / f"refusals-{parallel.rank()}.json").write_text(json.dumps(refusals))

    def told_to_stop(event: LoopEvent) -> None:
        if event.step == 1 and parallel.rank() == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    train(training(Placement(parallel="fsdp")), folder / "sigterm", options(), on_step=told_to_stop)
    (folder / f"not-stopped-{parallel.rank()}").touch()


if __name__ == "__main__":
    with parallel.joined(CPU):
        work(Path(sys.argv[1]))
