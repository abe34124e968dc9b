"""Shortcut models: one large step is what two half steps of the average network do (Frans et al., arXiv 2410.12557).

The path is cut into 1, 2, 4, ..., 2^k steps. For a share of the rows (t, s) is one step of one of these grids and m its
middle; f_{s,t}(x) = x - (t - s) V(x, t, s, c) is a step:

    x_m, x_s = f^EMA_{m,t}(x_t), f^EMA_{s,m}(x_m)                                              (their Eq. 4)
    u_target = sg[(x_t - x_s) / (t - s)], the mean of the two velocities                       (their Eq. 4)
    loss     = ||V(x_t, t, s, c) - u_target||^2                                                (their Eq. 5)

The other rows are flow matching at s = t, and the half steps of the finest grid ask for s = t too: the paper's d = 0.

The grids are the sampler's own, warped by mu, so that a sampler of 2^j steps asks only for trained pairs; at mu = 0 they are
the paper's. Other numbers of steps ask for untrained pairs. The paper's code clips x_m and the target to [-4, 4]; here
nothing is clipped: standardised latents have tails of their own, which a bound would bias, and it adds no stability to
targets that are means of two outputs. Its guided target for the largest step is left out: the sampler guides.

Cost: 3 + 2 * ``consistency_share`` = 3.5 forward equivalents a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from selfe.objectives.batch import ObjectiveResult, TrainingBatch
from selfe.objectives.jump import jump
from selfe.objectives.networks import Networks
from selfe.objectives.rows import rows_where
from selfe.parametrisation import velocity_loss
from selfe.path import expand, noised
from selfe.times import TimePair, sample_t, warp


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortcut:
    """Flow matching and self-consistency side by side."""

    name: ClassVar[str] = "shortcut"
    rows_per_caption: ClassVar[int] = 1
    needs_fake_prompts: ClassVar[bool] = False

    consistency_share: float = 0.25
    """Share of rows with s < t. The paper: 1/4; its code: 1/8."""
    num_grids: int = 7
    """Grids of 1, 2, ..., 2^(num_grids - 1) steps, each as likely. The paper: 7, so at most 64 steps, in halves of 1/128."""

    def __post_init__(self) -> None:
        """Refuse values without a meaning."""
        if not 0.0 <= self.consistency_share <= 1.0:
            raise ValueError(f"consistency_share {self.consistency_share}: expected a share between 0 and 1.")
        if self.num_grids < 1:
            raise ValueError(f"num_grids {self.num_grids}: expected a number of grids, at least 1.")

    def times(self, num_rows: int, *, mu: float, step: int, generator: torch.Generator) -> TimePair:
        """A step of one of the grids for the share, else s = t = warp(sigmoid(z)).

        The paper draws the flow-matching times uniformly on its finest grid; here they are those of flow matching, so
        that the two objectives train them alike.
        """
        del step
        flow = sample_t(num_rows, mu=mu, generator=generator)
        num_steps = 2.0 ** torch.randint(self.num_grids, (num_rows,), generator=generator)
        index = (torch.rand(num_rows, generator=generator) * num_steps).floor()
        consistency = torch.rand(num_rows, generator=generator) < self.consistency_share
        return TimePair(
            torch.where(consistency, warp((index + 1.0) / num_steps, mu), flow),
            torch.where(consistency, warp(index / num_steps, mu), flow),
        )

    def loss(self, networks: Networks, batch: TrainingBatch) -> ObjectiveResult:
        """The mean of the velocity losses of all rows."""
        x_t = noised(batch.x0, batch.eps, batch.t)
        loss = velocity_loss(
            networks.live(x_t, batch.t, batch.s, batch.c),
            target_x0=self._target(networks, batch, x_t),
            x0=batch.x0,
            eps=batch.eps,
            t=batch.t,
            kind=networks.parametrisation,
        ).mean()
        return ObjectiveResult(loss=loss, metrics={"loss": loss.detach()})

    @torch.no_grad()
    def _target(self, networks: Networks, batch: TrainingBatch, x_t: Tensor) -> Tensor:
        """x_t - t u_target, the clean sample to which u_target points; x0 where s = t."""
        rows = rows_where(batch.s < batch.t)
        x, t, s, c = x_t[rows], batch.t[rows], batch.s[rows], batch.c.rows(rows)
        middle = midpoint(t, s, batch.mu)
        finest = 0.5**self.num_grids
        told_m, told_s = (
            told_second_time(a, b, mu=batch.mu, finest=finest) for a, b in ((t, middle), (middle, s))
        )
        x_m = jump(x, networks.clean(networks.average, x, t, told_m, c), t, middle)
        x_s = jump(x_m, networks.clean(networks.average, x_m, middle, told_s, c), middle, s)
        target = batch.x0.clone()
        target[rows] = torch.where(expand(s < t, x), x - expand(t / (t - s), x) * (x - x_s), target[rows])
        return target


def midpoint(t: Tensor, s: Tensor, mu: float) -> Tensor:
    """The time in the middle of s and t before the warp, (B,); (s + t) / 2 at mu = 0."""
    return warp((warp(t, -mu) + warp(s, -mu)) / 2.0, mu)


def told_second_time(t: Tensor, s: Tensor, *, mu: float, finest: float) -> Tensor:
    """The s that the network is told for a step from t to s: t itself where the step is the finest (before the warp)."""
    return torch.where(warp(t, -mu) - warp(s, -mu) < 1.5 * finest, t, s)
