from __future__ import annotations

from dataclasses import replace

import pytest

from selfe_eval.pipeline.ablate import AblationPlan
from selfe_eval.suites.registry import load_suite
from selfe_eval.train.ablation import budget_of, tiny_training
from selfe_eval.train.bundled import NUM_STEPS, OBJECTIVES, SEED, WARM_START_STEPS, bundled_training
from selfe_eval.train.tiny import tiny_plan


@pytest.mark.parametrize(
    ("name", "variant"), [("selfe-tiny", "self_e-noise"), ("flow-tiny", "flow_matching")]
)
def test_a_bundled_generator_is_a_variant_of_the_ablation(name: str, variant: str) -> None:
    """Under its own name it is trained as `ablate` trains that variant with the same budget and seed."""
    budget = budget_of(
        num_steps=NUM_STEPS, batch_size=None, warm_start_steps=WARM_START_STEPS, is_smoke=False
    )
    plan = AblationPlan(
        variants=(variant,),
        seeds=(SEED,),
        budget=budget,
        suite=load_suite("openmoji"),
        steps=(1,),
        images_per_prompt=1,
        limit=None,
    )

    assert bundled_training(name) == tiny_training(name, plan.objective(variant), budget, SEED)


def test_the_bundled_generators_differ_in_the_objective_alone() -> None:
    """Network, data, batches, optimiser and schedule are the same; so is the warm start, at a constant rate."""
    one, other = map(bundled_training, OBJECTIVES)
    plan = tiny_plan(one)

    assert one.objective != other.objective
    assert replace(one, name=other.name, objective=other.objective) == other
    assert plan.recipe.warm_start_steps == plan.recipe.decay_start == WARM_START_STEPS < NUM_STEPS
