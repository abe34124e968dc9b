"""Self-E: learn from data and from the model's own evaluation of its few-step samples (arXiv 2512.22374, Eq. 13-21).

    xhat0  = G(x_t, t, s, c)                                                          (Eq. 6-7)
    x_self = sg[xhat0 - Delta], Delta: see evaluation.py                              (Eq. 13-15)
    target = (x0 + lambda x_self) / (1 + lambda) = (1 - beta) x0 + beta x_self        (Eq. 17-18)
    target at the norm of x0 over all elements of the sample                          (Eq. 19-20)
    loss   = (1/t^2) ||xhat0 - target||^2                                             (Eq. 21)

``target`` leaves out the norm (``convex``), or the mixture as well (``eq16``):

    loss   = (1/t^2) (||xhat0 - x0||^2 + lambda ||xhat0 - x_self||^2)                 (Eq. 16)

That is ``convex`` up to a constant and a factor 1 + lambda on the gradient. Where the expected gradient of either is zero,
xhat0 = E[x0 | x_t, c] - lambda E[Delta]: lambda is the strength of the guidance that is trained in.

The auxiliary term (S.6-S.8) adds a third branch to Delta and trains it: see fake_prompts.py.

What the paper leaves open, and what we chose:

- lambda is infinite at t = 1. ``renorm`` and ``convex`` need only beta = lambda / (1 + lambda), which is finite and exact;
  ``eq16`` bounds lambda by MAX_LAMBDA.
- Rows whose caption was dropped have Delta = 0: x_self is then xhat0.
- The auxiliary loss is added with weight 1, as a mean over all rows of the batch.
- Its open question 5, to decouple s from lambda: with ``evaluation_time`` the evaluation re-noises to, and is asked at,
  max(s, evaluation_time), where there is a signal, while the network's s and lambda stay those of (t, s).
- Its open question 2, the gap of one and two steps to fifty: ``noise_share`` of the rows train at t = 1, where every sampler
  starts and where the paper's times almost never are. There beta is 1 and the norm alone holds the target to the data:
  with ``eq16`` these rows ran away (results/REPORT.md, Q6). Open question 3, the weights: ``equal_delta`` gives all Deltas of a
  batch one length, so that the norm of Delta, which falls with s, no longer weighs the rows.

Cost in forward passes over a batch, where a backward pass counts as two and half of the rows have s < t: 3 for the data,
1 for the evaluation; with the auxiliary term 1/2 more for its branch of Delta and 3/2 to train it. In all 4, or 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, get_args

import torch
from torch import Tensor

from selfe.objectives.batch import ObjectiveResult, TrainingBatch
from selfe.objectives.evaluation import at_mean_length, evaluation_direction, own_samples
from selfe.objectives.fake_prompts import fake_loss
from selfe.objectives.networks import Networks
from selfe.objectives.targets import TargetMode, convex_target, energy_preserving, norm_ratio
from selfe.parametrisation import Parametrisation, predicted_clean, velocity_loss
from selfe.path import bounded_lambda, evaluation_weight, noised
from selfe.times import TimePair, anneal, sample_times

AUX_WEIGHT = 0.9
"""k of the paper: (omega - 1) / omega at omega = 10."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfE:
    """Self-E with the paper's times."""

    name: ClassVar[str] = "self_e"
    rows_per_caption: ClassVar[int] = 1

    target: TargetMode = "renorm"
    """What the prediction is drawn to; the paper's choice is ``renorm``."""
    anneal_steps: int = 0
    """Steps over which tau goes 0 -> 1 (S.13); 0 starts at 1."""
    evaluation_time: float | None = None
    """The least time of an evaluation, in (0, 1); None evaluates at s (the paper)."""
    noise_share: float = 0.0
    """Share of the rows that train at t = 1, in [0, 1]; 0 draws all times as the paper does."""
    equal_delta: bool = False
    """Whether all Deltas of a batch (of a part, where it is cut) get their mean length; the paper leaves them as they are."""
    aux_start: int | None = None
    """Step from which the auxiliary term is on, counted as ``TrainingBatch.step``; None leaves it off."""
    aux_weight: float = AUX_WEIGHT
    """k, the share of the classifier direction once the auxiliary term is on, in [0, 1]."""

    def __post_init__(self) -> None:
        """Refuse values without a meaning, and a weight of a term that is off."""
        if self.target not in get_args(TargetMode):
            raise ValueError(f"target {self.target!r} is not one of {', '.join(get_args(TargetMode))}.")
        if self.anneal_steps < 0:
            raise ValueError(f"anneal_steps {self.anneal_steps}: expected a number of steps, at least 0.")
        if self.evaluation_time is not None and not 0.0 < self.evaluation_time < 1.0:
            raise ValueError(
                f"evaluation_time {self.evaluation_time}: expected a time between 0 and 1, both excluded. Leave it out "
                "to evaluate at s."
            )
        if not 0.0 <= self.noise_share <= 1.0:
            raise ValueError(f"noise_share {self.noise_share}: expected a share between 0 and 1.")
        if self.aux_start is not None and self.aux_start < 0:
            raise ValueError(
                f"aux_start {self.aux_start}: expected a step, at least 0; leave it out for never."
            )
        if not 0.0 <= self.aux_weight <= 1.0:
            raise ValueError(f"aux_weight {self.aux_weight}: expected a share between 0 and 1.")
        if self.aux_start is None and self.aux_weight != AUX_WEIGHT:
            raise ValueError(
                f"aux_weight {self.aux_weight} changes nothing while the auxiliary term is off. Give aux_start too."
            )

    @property
    def needs_fake_prompts(self) -> bool:
        """With the auxiliary term, also before it is on."""
        return self.aux_start is not None

    def times(self, num_rows: int, *, mu: float, step: int, generator: torch.Generator) -> TimePair:
        """Draw t = warp(sigmoid(z)), or t = 1 for ``noise_share`` of the rows, and then s as ever (S.11-S.13)."""
        tau = anneal(step, self.anneal_steps)
        return sample_times(num_rows, mu=mu, tau=tau, generator=generator, noise_share=self.noise_share)

    def loss(self, networks: Networks, batch: TrainingBatch) -> ObjectiveResult:
        """The Self-E loss of one batch, and that of the auxiliary term where it is on."""
        kind, num_rows = networks.parametrisation, len(batch.x0)
        x_t = noised(batch.x0, batch.eps, batch.t)
        output = networks.live(x_t, batch.t, batch.s, batch.c)
        xhat0 = predicted_clean(output.detach(), x_t, batch.t, kind)
        samples = own_samples(xhat0, batch, evaluation_time=self.evaluation_time)
        auxiliary = self.aux_start is not None and batch.step >= self.aux_start
        k = self.aux_weight if auxiliary else 1.0
        delta = evaluation_direction(networks, samples, num_rows=num_rows, k=k)
        if self.equal_delta:
            delta = at_mean_length(delta)
        x_self = xhat0 - delta
        beta = evaluation_weight(batch.t, batch.s)
        loss = self_e_losses(output, x_self, batch, mode=self.target, kind=kind).mean()
        metrics = {
            "delta_ratio": norm_ratio(delta, batch.x0),
            "target_ratio": norm_ratio(convex_target(batch.x0, x_self, beta), batch.x0),
            "high_beta_share": (beta > 0.9).float().mean(),
        }
        if auxiliary:
            of_fakes = fake_loss(networks, samples, num_rows=num_rows)
            loss = loss + of_fakes
            metrics["fake_loss"] = of_fakes.detach()
        return ObjectiveResult(loss=loss, metrics={"loss": loss.detach(), **metrics})


def self_e_losses(
    output: Tensor, x_self: Tensor, batch: TrainingBatch, *, mode: TargetMode, kind: Parametrisation
) -> Tensor:
    """The weighted loss of each row for the network's output (B, L, D), Eq. 16 or Eq. 18-21: shape (B,)."""

    def loss_to(target_x0: Tensor) -> Tensor:
        return velocity_loss(output, target_x0=target_x0, x0=batch.x0, eps=batch.eps, t=batch.t, kind=kind)

    if mode == "eq16":
        return loss_to(batch.x0) + bounded_lambda(batch.t, batch.s) * loss_to(x_self)
    target = convex_target(batch.x0, x_self, evaluation_weight(batch.t, batch.s))
    return loss_to(target if mode == "convex" else energy_preserving(target, batch.x0))
