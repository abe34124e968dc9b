"""Train one variant of an ablation in its folder, and tell what that cost; what is trained is not trained again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from selfe.checkpoint import CONFIG_FILE
from selfe.objectives.protocol import describe
from selfe.training.log import METRICS_FILE, read_metrics, training_seconds
from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.train.budget import Budget, TrainingCost
from selfe_eval.train.failures import training_failures
from selfe_eval.train.objectives import objective_from, rows_of_a_part
from selfe_eval.train.tiny import SMOKE, OnPhase, Sizes, TinyTraining, train_tiny


def budget_of(
    *, num_steps: int | None, batch_size: int | None, warm_start_steps: int, is_smoke: bool
) -> Budget:
    """The sizes that were asked for, and those of preset ``tiny`` (or of its smoke test) where nothing was said.

    Raises:
        UsageError: the warm start leaves no step.
    """
    sizes = SMOKE if is_smoke else Sizes()
    steps = num_steps or sizes.num_steps
    if not 0 <= warm_start_steps < steps:
        raise UsageError(
            f"--warm-start {warm_start_steps}: expected fewer than the {steps} steps of the whole training, of which the "
            "warm start is a part."
        )
    return Budget(
        num_steps=steps,
        batch_size=batch_size or sizes.batch_size,
        warm_start_steps=warm_start_steps,
        num_scenes=sizes.num_scenes,
        is_smoke=is_smoke,
    )


def tiny_training(name: str, objective: str, budget: Budget, seed: int) -> TinyTraining:
    """The training of a variant.

    Raises:
        UsageError: there is no such objective, or its rows do not come out in the batch.
    """
    made = objective_from(objective)
    rows_of_a_part(made, budget.batch_size)
    return TinyTraining(
        name=name,
        objective=made,
        num_steps=budget.num_steps,
        warm_start_steps=budget.warm_start_steps,
        batch_size=budget.batch_size,
        num_scenes=budget.num_scenes,
        seed=seed,
        is_smoke=budget.is_smoke,
    )


def train_variant(training: TinyTraining, folder: Path, *, device: str, on_phase: OnPhase) -> Path:
    """The finished checkpoint of a training, trained (or resumed) in ``folder`` where it is not there yet.

    Raises:
        UsageError: the training does not begin, or the finished checkpoint there is of another one.
        UntrustworthyError: it cannot go on.
    """
    checkpoint = folder / "checkpoint"
    stated = stated_training(checkpoint)
    if stated.get("steps") != training.num_steps:
        with training_failures():
            train_tiny(training, folder, device=device, on_phase=on_phase)
        return checkpoint
    asked = {
        "objective_options": json.loads(json.dumps(describe(training.objective))),
        "warm_start_steps": training.warm_start_steps,
        "batch_size": training.batch_size,
        "distinct_scenes": training.num_scenes,
        "seed": training.seed,
    }
    for name, value in asked.items():
        if stated.get(name) != value:
            raise UsageError(
                f"The finished checkpoint in {checkpoint} was trained otherwise: {name} is {stated.get(name)}, expected "
                f"{value}. Ask for the settings it was trained with, or choose another folder with --out."
            )
    return checkpoint


def stated_training(checkpoint: Path) -> Mapping[str, Any]:
    """What a checkpoint says of its training; empty where there is none that says something."""
    try:
        stated = json.loads((checkpoint / CONFIG_FILE).read_bytes())["training"]
    except (OSError, KeyError, TypeError, ValueError):
        return {}
    return stated if isinstance(stated, dict) else {}


def training_cost(folder: Path, *, warm_start_steps: int) -> TrainingCost:
    """What the metrics of a training folder say of its time.

    Raises:
        UntrustworthyError: they are missing or damaged.
    """
    try:
        records = read_metrics(folder)
        ends = [0, *(int(record["step"]) for record in records)]
        stretches = [
            float(record["seconds_per_step"])
            for record, (begin, _) in zip(records, pairwise(ends), strict=True)
            if begin >= warm_start_steps
        ]
        seconds = training_seconds(folder)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UntrustworthyError(
            f"{folder / METRICS_FILE} is missing or damaged ({error}): expected a line of JSON for each stretch of steps. "
            "Something else changed it. Restore it, or remove the folder to train again."
        ) from error
    kept = stretches[1:] if len(stretches) > 1 else stretches
    return TrainingCost(seconds=seconds, step_seconds=tuple(kept))
