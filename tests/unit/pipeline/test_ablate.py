from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from selfe.objectives.self_e import SelfE
from selfe_eval.errors import UntrustworthyError
from selfe_eval.pipeline.ablate import BASELINE, TABLE_2, VARIANTS, AblationPlan
from selfe_eval.suites.registry import load_suite
from selfe_eval.train.ablation import tiny_training, training_cost
from selfe_eval.train.budget import Budget

PLAN = AblationPlan(
    variants=tuple(VARIANTS),
    seeds=(0, 1),
    budget=Budget(num_steps=7100, batch_size=64, warm_start_steps=0, num_scenes=64, is_smoke=False),
    suite=load_suite("openmoji"),
    steps=(1, 50),
    images_per_prompt=1,
    limit=None,
)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_an_objective_that_fits_the_budget(name: str) -> None:
    """The text of each row of the table names an objective, whose options differ from every other variant's."""
    trained = tiny_training(name, PLAN.objective(name), PLAN.budget, seed=3)
    others = [
        tiny_training(other, PLAN.objective(other), PLAN.budget, seed=3).objective
        for other in VARIANTS
        if other != name
    ]

    assert trained.seed == 3
    assert trained.objective not in others


def test_the_steps_of_the_paper_are_kept_in_proportion() -> None:
    """Of 7100 steps tau grows over 3000, and the late auxiliary term starts at 5500: the paper's 300k and 550k of 710k."""
    late = tiny_training("x", PLAN.objective("self_e-aux-late"), PLAN.budget, seed=0).objective

    assert isinstance(late, SelfE)
    assert (late.anneal_steps, late.aux_start) == (3000, 5500)


def test_after_a_warm_start_the_shares_are_those_of_the_steps_that_are_left() -> None:
    """Objectives count from its end: 8520 steps with 1420 of warm start have the same shares as 7100 without, 3000 and 5500."""
    warm = replace(PLAN, budget=replace(PLAN.budget, num_steps=8520, warm_start_steps=1420))
    late = tiny_training("x", warm.objective("self_e-aux-late"), warm.budget, seed=0).objective

    assert isinstance(late, SelfE)
    assert (late.anneal_steps, late.aux_start) == (3000, 5500)


def test_what_the_paper_does_not_have_is_trained_where_it_is_named() -> None:
    """By default the paper's variants and two other objectives are trained; ours come after them in the table."""
    ours = ("self_e-later-s", "self_e-noise", "self_e-equal", "self_e-meanflow", "self_e-noise-eq16")

    assert (*TABLE_2, *ours) == tuple(VARIANTS)
    assert {"flow_matching", "imm", "self_e", "self_e-aux-late"} <= set(TABLE_2)


def test_the_plan_says_everything_that_decides_the_result() -> None:
    """Every training with its objective, budget, prompts, steps and judge stand in the plan; the baseline is a variant."""
    plan = PLAN.as_json()

    assert BASELINE in VARIANTS
    assert len(plan["trainings"]) == 2 * len(VARIANTS)
    assert plan["trainings"]["self_e-convex-seed-1"] == "self_e:anneal_steps=3000,target=convex"
    assert plan["budget"]["images_seen"] == 7100 * 64
    assert (plan["steps"], plan["num_prompts"]) == ([1, 50], 553)
    assert plan["suite_sha256"] == PLAN.suite.sha256


def test_a_damaged_log_is_no_time(tmp_path: Path) -> None:
    """Where the metrics of a training are cut or gone, its cost is an error that names the file."""
    whole = '{"step": 10, "seconds_per_step": 0.5}\n'
    log = tmp_path / "metrics.jsonl"
    log.write_text(whole)
    assert training_cost(tmp_path, warm_start_steps=0).seconds == 5.0

    for content in (whole + '{"step": 20', '{"step": 10}\n', None):
        log.unlink() if content is None else log.write_text(content)
        with pytest.raises(UntrustworthyError, match=r"metrics\.jsonl is missing or damaged"):
            training_cost(tmp_path, warm_start_steps=0)
