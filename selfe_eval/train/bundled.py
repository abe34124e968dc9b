"""Presets ``selfe-tiny`` and ``flow-tiny``: two trainings as `ablate` makes them, longer than those of the published ablation.

Both see the same batches in the same order with the same optimiser and schedule; they differ in the objective of the steps
after the warm start, which they share (see ``train_tiny``). ``selfe-tiny`` is the ablation's ``self_e-noise``: what
won at every step count there.
"""

from __future__ import annotations

from selfe_eval.train.objectives import objective_from
from selfe_eval.train.tiny import TinyTraining

NUM_STEPS = 22_000
"""Optimiser steps, the warm start among them."""
WARM_START_STEPS = 18_000
"""Of flow matching, for both."""
SEED = 2

OBJECTIVES = {"selfe-tiny": "self_e:anneal_steps=1690,noise_share=0.15", "flow-tiny": "flow_matching"}
"""Checkpoint -> objective after the warm start."""


def bundled_training(name: str) -> TinyTraining:
    """The training of one bundled generator."""
    return TinyTraining(
        name=name,
        objective=objective_from(OBJECTIVES[name]),
        num_steps=NUM_STEPS,
        warm_start_steps=WARM_START_STEPS,
        seed=SEED,
    )
