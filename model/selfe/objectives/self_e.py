"""Self-E: learn from data and from the model's own evaluation of its few-step samples (arXiv 2512.22374, Eq. 14-21).

For a row with s < t the prediction xhat0 = G(x_t, t, s, c) is noised again to xhat_s with fresh noise, and the same
network, without gradient, says in which direction the prompt would move it:

    Delta  = G(xhat_s, s, s, phi) - G(xhat_s, s, s, c)        phi: live weights, c: EMA weights (appendix S.2)
    x_self = sg[xhat0 - Delta]                                                        (Eq. 14-15)
    target = (1 - beta) x0 + beta x_self, with beta = lambda / (1 + lambda)           (Eq. 17-18)
    target is rescaled to the norm of x0 over all elements of the sample              (Eq. 19-20)
    loss   = (1/t^2) ||xhat0 - target||^2                                             (Eq. 21)

beta replaces the paper's lambda, which overflows as t -> 1; the two forms agree because Eq. 19 is scale invariant.
Rows with s = t, and rows whose caption was dropped (Delta would be phi against phi), need no evaluation: the extra passes
run on the other rows only. Cost: 4 forward equivalents a step when half of the rows have s < t.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from selfe.objectives.batch import ObjectiveResult, TrainingBatch
from selfe.objectives.networks import Networks
from selfe.parametrisation import predicted_clean, velocity_loss
from selfe.path import evaluation_weight, expand, noised, sample_norm
from selfe.times import TimePair, anneal, sample_times


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfE:
    """Self-E with the paper's times."""

    name: ClassVar[str] = "self_e"
    rows_per_caption: ClassVar[int] = 1

    anneal_steps: int = 0
    """Steps over which tau goes 0 -> 1 (S.13); 0 starts at 1."""

    @property
    def needs_fake_prompts(self) -> bool:
        """Not without the auxiliary term."""
        return False

    def times(self, num_rows: int, *, mu: float, step: int, generator: torch.Generator) -> TimePair:
        """Draw t = warp(sigmoid(z)); s = t for half of the rows, else s ~ U((1 - tau) t, t) (S.11-S.13)."""
        return sample_times(num_rows, mu=mu, tau=anneal(step, self.anneal_steps), generator=generator)

    def loss(self, networks: Networks, batch: TrainingBatch) -> ObjectiveResult:
        """The Self-E loss of one batch."""
        kind = networks.parametrisation
        x_t = noised(batch.x0, batch.eps, batch.t)
        output = networks.live(x_t, batch.t, batch.s, batch.c)
        with torch.no_grad():
            xhat0 = predicted_clean(output.detach(), x_t, batch.t, kind)
            delta = evaluation_direction(networks, xhat0, batch)
            target = self_evaluated_target(batch.x0, xhat0 - delta, evaluation_weight(batch.t, batch.s))
        loss = velocity_loss(
            output, target_x0=target, x0=batch.x0, eps=batch.eps, t=batch.t, kind=kind
        ).mean()
        return ObjectiveResult(
            loss=loss,
            metrics={
                "loss": loss.detach(),
                "delta_ratio": (sample_norm(delta) / sample_norm(batch.x0)).mean(),
            },
        )


@torch.no_grad()
def evaluation_direction(networks: Networks, xhat0: Tensor, batch: TrainingBatch) -> Tensor:
    """Delta = G(xhat_s, s, s, phi) - G(xhat_s, s, s, c), (B, L, D); exactly zero where s = t or the caption was dropped."""
    delta = torch.zeros_like(xhat0)
    rows = ((batch.s < batch.t) & ~batch.dropped).nonzero().squeeze(1)
    if len(rows) == 0:
        return delta
    s = batch.s[rows]
    xhat_s = noised(xhat0[rows], batch.fresh_noise[rows], s)
    conditional = networks.clean(networks.average, xhat_s, s, s, batch.c.rows(rows))
    unconditional = networks.clean(networks.live, xhat_s, s, s, batch.phi.repeated(len(rows)))
    delta[rows] = unconditional - conditional
    return delta


def self_evaluated_target(x0: Tensor, x_self: Tensor, beta: Tensor) -> Tensor:
    """(1 - beta) x0 + beta x_self, rescaled sample by sample to the norm of x0 (Eq. 18-20); x0 itself where beta = 0."""
    beta = expand(beta, x0)
    mixed = (1.0 - beta) * x0 + beta * x_self
    renormed = mixed * (sample_norm(x0) / sample_norm(mixed).clamp_min(1e-6))
    return torch.where(beta == 0.0, x0, renormed)
