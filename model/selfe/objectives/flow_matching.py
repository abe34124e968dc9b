"""Flow matching: ||V(x_t, t, t, c) - (eps - x0)||^2 (Self-E Eq. 7 at s = t; Lipman et al., arXiv 2210.02747).

Since G - x0 = -t (V - (eps - x0)), this is the paper's (1/t^2) ||G - x0||^2. Its minimum is G = E[x0 | x_t, c], where it
costs the posterior variance Var(x0 | x_t, c) / t^2. Cost: 3 forward equivalents a step.

t is drawn as for Self-E, so that the two differ in the objective alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from selfe.objectives.batch import ObjectiveResult, TrainingBatch
from selfe.objectives.networks import Networks
from selfe.parametrisation import velocity_loss
from selfe.path import noised
from selfe.times import TimePair, sample_t


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowMatching:
    """Flow matching with the paper's distribution of t."""

    name: ClassVar[str] = "flow_matching"
    rows_per_caption: ClassVar[int] = 1
    needs_fake_prompts: ClassVar[bool] = False

    def times(self, num_rows: int, *, mu: float, step: int, generator: torch.Generator) -> TimePair:
        """Both times are warp(sigmoid(z)) (S.11)."""
        del step
        t = sample_t(num_rows, mu=mu, generator=generator)
        return TimePair(t, t)

    def loss(self, networks: Networks, batch: TrainingBatch) -> ObjectiveResult:
        """The mean velocity loss of the batch; the network is told s = t, whatever ``batch.s`` is."""
        x_t = noised(batch.x0, batch.eps, batch.t)
        loss = velocity_loss(
            networks.live(x_t, batch.t, batch.t, batch.c),
            target_x0=batch.x0,
            x0=batch.x0,
            eps=batch.eps,
            t=batch.t,
            kind=networks.parametrisation,
        ).mean()
        return ObjectiveResult(loss=loss, metrics={"loss": loss.detach()})
