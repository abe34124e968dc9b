"""What a step costs, counted in rows that go through the networks: a forward pass is 1, with its backward pass 3."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from selfe.condition import Condition
from selfe.objectives.batch import TrainingBatch
from selfe.objectives.flow_matching import FlowMatching
from selfe.objectives.networks import Networks
from selfe.objectives.protocol import Objective
from selfe.objectives.self_e import SelfE
from tests.unit.selfe import exact

NUM_ROWS = 8


class Counting:
    """A network of one weight that counts the rows it is given, by whether their backward pass is to follow."""

    def __init__(self) -> None:
        self.weight = torch.zeros((), requires_grad=True)
        self.with_gradient = 0
        self.without_gradient = 0

    def __call__(self, x: Tensor, t: Tensor, s: Tensor, c: Condition) -> Tensor:
        assert len(x) == len(t) == len(s) == len(c.tokens) == len(c.mask)
        output = self.weight * x
        if output.requires_grad:
            self.with_gradient += len(x)
        else:
            self.without_gradient += len(x)
        return output


def half_equal(*, step: int = 0) -> TrainingBatch:
    """Eight rows, half of them with s < t."""
    t = torch.linspace(0.2, 0.9, NUM_ROWS)
    s = torch.where(torch.arange(NUM_ROWS) % 2 == 0, t, 0.5 * t)
    x0 = torch.randn(NUM_ROWS, 2, 3, generator=torch.Generator().manual_seed(0))
    return exact.batch(x0, t=t, s=s, step=step)


def forward_equivalents(objective: Objective, batch: TrainingBatch) -> float:
    live, average = Counting(), Counting()
    objective.loss(Networks(live=live, average=average, parametrisation="v"), batch)
    assert average.with_gradient == 0
    return (3 * live.with_gradient + live.without_gradient + average.without_gradient) / NUM_ROWS


@pytest.mark.parametrize(
    ("objective", "expected"),
    # In forward passes over the batch, where half of the rows have s < t.
    [
        (FlowMatching(), 3.0),
        (SelfE(), 4.0),
        (SelfE(target="convex"), 4.0),
        (SelfE(target="eq16"), 4.0),
        (SelfE(evaluation_time=0.3), 4.0),
        (SelfE(aux_start=0), 6.0),
    ],
    ids=["flow_matching", "renorm", "convex", "eq16", "evaluation_time", "auxiliary"],
)
def test_a_step_costs_what_the_theory_says(objective: Objective, expected: float) -> None:
    """3 for flow matching, 4 for Self-E, 6 with the auxiliary term: the evaluation sees only the rows that need it."""
    assert forward_equivalents(objective, half_equal()) == expected


def test_rows_whose_caption_was_dropped_are_not_evaluated() -> None:
    """With one of the four rows with s < t dropped, 2 passes of the evaluation fall away; with the term, all 6."""
    batch = replace(half_equal(), dropped=torch.arange(NUM_ROWS) == 1)

    assert forward_equivalents(SelfE(), batch) == 3 + 2 * 3 / NUM_ROWS
    assert forward_equivalents(SelfE(aux_start=0), batch) == 3 + 6 * 3 / NUM_ROWS


def test_a_batch_with_nothing_to_evaluate_makes_each_pass_with_one_row() -> None:
    """Every process calls each network equally often, as sharded networks demand, and the loss is that of flow matching."""
    batch = replace(half_equal(), s=half_equal().t)
    live = Counting()
    nets = Networks(live=live, average=Counting(), parametrisation="v")

    assert forward_equivalents(SelfE(aux_start=0), batch) == 3 + 6 / NUM_ROWS
    assert torch.equal(SelfE(aux_start=0).loss(nets, batch).loss, FlowMatching().loss(nets, batch).loss)


@pytest.mark.parametrize(("step", "expected"), [(0, 4.0), (99, 4.0), (100, 6.0), (5000, 6.0)])
def test_the_auxiliary_term_is_on_from_its_step(step: int, expected: float) -> None:
    """aux_start counts the steps of the objective; before it nothing of the term is computed or logged."""
    objective, batch = SelfE(aux_start=100), half_equal(step=step)
    net = exact.by_prompt(
        dict.fromkeys((exact.PHI, exact.C, exact.C_FAKE), exact.Gaussian(mean=0.0, variance=1.0))
    )

    assert forward_equivalents(objective, batch) == expected
    assert ("fake_loss" in objective.loss(exact.networks(net), batch).metrics) == (step >= 100)
