"""Inductive moment matching (Zhou, Ermon and Song, arXiv 2503.07565): jumps to s from t and from a nearer r must agree.

The rows of a group share caption, t, s and r, with s <= r < t; x_t and x_r are the same data with the same noise. With the
jump f_{s,t}(x) = x - (t - s) V(x, t, s, c), y = f_{s,t}(x_t) with gradient and y' = f_{s,r}(x_r) without, by the live network:

    k(a, b) = exp(-||a - b|| / ((t - s) D)),  D the number of elements                        (their Laplace kernel)
    loss    = mean over groups of w(t) * mean over i, j of [k(y_i, y_j) + k(y'_i, y'_j) - 2 k(y_i, y'_j)]
    r       = max(s, min(t - 1e-4, eta^-1(eta(t) - gap))),  eta(t) = t / (1 - t)              (their Sec. 7)
    w(t)    = sigmoid(b - l) (-dl/dt) (1 - t)^a / (2 ((1 - t)^2 + t^2)),  l = 2 log((1 - t) / t)   (their Eq. 13)

There is no data term: at s = r, y' is x_s itself, and from there the jumps learn from each other. In unit scale the paper's
"Euler-FM" head is this V; its sigma_d = 0.5 scales data, noise and kernel alike and drops out.

Cost: 4 forward equivalents a step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from selfe.objectives.batch import ObjectiveResult, TrainingBatch
from selfe.objectives.jump import jump
from selfe.objectives.networks import Networks
from selfe.path import noised
from selfe.times import TimePair

MIN_GAP = 1e-4
"""t - r is at least this where s allows it (the paper), and t - s in the kernel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IMM:
    """Inductive moment matching with the weighting and the mapping of its ImageNet setting."""

    name: ClassVar[str] = "imm"
    needs_fake_prompts: ClassVar[bool] = False

    group_size: int = 4
    """M: rows of a group. The paper: 4."""
    latest_t: float = 1.0
    """T. The paper starts its samplers at 0.994 and trains up to there; ours start at 1, and nothing here is singular."""
    gap: float = 160.0 / 2**12
    """eta(t) - eta(r). The paper: eta in [0, 160] in 2^12 parts on ImageNet, 2^15 on CIFAR-10."""
    weight_a: float = 1.0
    """a of w(t). The paper: 1, or 2 for networks that are told t - s; with 2 the weight would vanish at t = 1."""
    weight_b: float = 4.0
    """b of w(t). The paper: 4 on ImageNet, 5 on CIFAR-10."""

    def __post_init__(self) -> None:
        """Refuse values without a meaning."""
        if self.group_size < 1:
            raise ValueError(f"group_size {self.group_size}: expected a number of rows, at least 1.")
        if not 0.0 < self.latest_t <= 1.0:
            raise ValueError(f"latest_t {self.latest_t}: expected a time above 0 and at most 1.")
        if not self.gap > 0.0:
            raise ValueError(f"gap {self.gap}: expected a number above 0.")
        if not self.weight_a >= 1.0:
            raise ValueError(
                f"weight_a {self.weight_a}: expected at least 1, below which w(t) is infinite at t = 1."
            )

    @property
    def rows_per_caption(self) -> int:
        """A group is one estimate of what one caption's pictures are like."""
        return self.group_size

    def times(self, num_rows: int, *, mu: float, step: int, generator: torch.Generator) -> TimePair:
        """For each group t ~ U(0, T) and s ~ U(0, t), as in the paper: w(t) is made for uniform times, mu is not used.

        Raises:
            ValueError: the rows are no whole number of groups.
        """
        del mu, step
        num_groups = self._num_groups(num_rows)
        t = self.latest_t * (1.0 - torch.rand(num_groups, generator=generator))
        s = t * torch.rand(num_groups, generator=generator)
        return TimePair(t.repeat_interleave(self.group_size), s.repeat_interleave(self.group_size))

    def loss(self, networks: Networks, batch: TrainingBatch) -> ObjectiveResult:
        """The weighted discrepancy of all groups; the metric ``discrepancy`` is without the weight."""
        t, s, c = batch.t, batch.s, batch.c
        x_t = noised(batch.x0, batch.eps, t)
        y = jump(x_t, networks.clean(networks.live, x_t, t, s, c), t, s)
        with torch.no_grad():
            r = nearer_time(t, s, gap=self.gap)
            x_r = noised(batch.x0, batch.eps, r)
            y_nearer = jump(x_r, networks.clean(networks.live, x_r, r, s, c), r, s)
        groups = (self._num_groups(len(y)), self.group_size, -1)
        first_t, first_s = (time.view(groups[:2])[:, 0] for time in (t, s))
        scale = 1.0 / (first_t - first_s).clamp_min(MIN_GAP)
        squared = discrepancy(y.reshape(groups), y_nearer.reshape(groups), scale)
        loss = (time_weight(first_t, a=self.weight_a, b=self.weight_b) * squared).mean()
        return ObjectiveResult(
            loss=loss, metrics={"loss": loss.detach(), "discrepancy": squared.detach().mean()}
        )

    def _num_groups(self, num_rows: int) -> int:
        if num_rows % self.group_size:
            raise ValueError(
                f"imm works on groups of {self.group_size} rows; {num_rows} rows (one part of the batch) are no whole "
                f"number of groups. Choose a multiple of {self.group_size}, or another group_size."
            )
        return num_rows // self.group_size


def nearer_time(t: Tensor, s: Tensor, *, gap: float) -> Tensor:
    """R in [s, t], (B,): eta(r) = eta(t) - gap with eta(t) = t / (1 - t), but at most t - 1e-4 and at least s."""
    eta = (t / (1.0 - t) - gap).clamp_min(0.0)
    r = 1.0 - 1.0 / (1.0 + eta)
    return torch.maximum(s, torch.minimum(t - MIN_GAP, r))


def time_weight(t: Tensor, *, a: float, b: float) -> Tensor:
    """w(t), (B,), finite on [0, 1] for a >= 1.

    sigmoid(b - l) is t^2 / (t^2 + e^-b (1 - t)^2) and -dl/dt is 2 / (t (1 - t)), so that both singularities cancel.
    """
    clean = 1.0 - t
    sigmoid_denominator = t.square() + math.exp(-b) * clean.square()
    return t * clean.pow(a - 1.0) / (sigmoid_denominator * (clean.square() + t.square()))


def discrepancy(y: Tensor, other: Tensor, scale: Tensor) -> Tensor:
    """Squared maximum mean discrepancy of the M rows of each group, (N, M, D) twice -> (N,), as the V-statistic.

    Args:
        y: first samples.
        other: second samples.
        scale: of the kernel exp(-scale ||a - b|| / D), (N,).
    """

    def mean_kernel(a: Tensor, b: Tensor) -> Tensor:
        # Not by matrix products: they would cancel between near neighbours.
        distance = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
        return torch.exp(-scale[:, None, None] * distance / a.shape[-1]).mean(dim=(1, 2))

    return mean_kernel(y, y) + mean_kernel(other, other) - 2.0 * mean_kernel(y, other)
