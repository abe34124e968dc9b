"""A flow whose average velocity is known: x0 ~ N(m, sd^2) in every element, independent of the noise."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from selfe.condition import Condition
from selfe.objectives.batch import TrainingBatch
from selfe.objectives.networks import Networks
from selfe.parametrisation import Parametrisation
from selfe.path import expand


@dataclass(frozen=True, kw_only=True)
class AffineFlow:
    """The solution of dx/dt = E[eps - x0 | x_t] is affine in x; with sd = 0 (one point) it moves at constant velocity."""

    m: float = 0.7
    sd: float = 0.5

    def average_velocity(self, x_t: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """(x_t - x_s) / (t - s) of the solution through (x_t, t), in a form without differences; at s = t the velocity.

        x_s = mean_s + (sd_s / sd_t) (x_t - mean_t), with mean_t = (1 - t) m and sd_t^2 = (1 - t)^2 sd^2 + t^2.
        """
        t, s = expand(t, x_t), expand(s, x_t)
        slope = ((t + s) - self.sd**2 * (2 - t - s)) / ((self._sd_at(t) + self._sd_at(s)) * self._sd_at(t))
        return slope * (x_t - (1 - t) * self.m) - self.m

    def network(self, kind: Parametrisation) -> Recording:
        """The exact network."""
        return Recording(self, kind)

    def data(self, shape: tuple[int, int, int], generator: torch.Generator) -> Tensor:
        return self.m + self.sd * torch.randn(shape, generator=generator)

    def _sd_at(self, t: Tensor) -> Tensor:
        return ((1 - t).square() * self.sd**2 + t.square()).sqrt()


@dataclass
class Recording:
    """The exact network of a flow, which notes the rows and the second times of its calls."""

    flow: AffineFlow
    kind: Parametrisation
    ignores_s: bool = False
    rows_with_gradient: list[int] = field(default_factory=list)
    rows_without: list[int] = field(default_factory=list)
    told: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def __call__(self, x_t: Tensor, t: Tensor, s: Tensor, c: Condition) -> Tensor:
        assert len(x_t) == len(t) == len(s) == len(c.tokens)
        (self.rows_with_gradient if torch.is_grad_enabled() else self.rows_without).append(len(x_t))
        self.told.append((t, s))
        u = self.flow.average_velocity(x_t, t, t if self.ignores_s else s)
        return u if self.kind == "v" else x_t - expand(t, x_t) * u


def exact(flow: AffineFlow, kind: Parametrisation) -> tuple[Networks, Recording, Recording]:
    """Networks of which both are exact: (networks, live, average)."""
    live, average = flow.network(kind), flow.network(kind)
    return Networks(live=live, average=average, parametrisation=kind), live, average


def prompts(rows: int) -> Condition:
    return Condition(torch.zeros(rows, 1, dtype=torch.int64), torch.ones(rows, 1, dtype=torch.bool))


def batch(x0: Tensor, t: Tensor, s: Tensor, *, mu: float = 0.0, seed: int = 0) -> TrainingBatch:
    generator = torch.Generator().manual_seed(seed)
    return TrainingBatch(
        x0=x0,
        eps=torch.randn(x0.shape, generator=generator),
        t=t,
        s=s,
        c=prompts(len(x0)),
        phi=prompts(1),
        dropped=torch.zeros(len(x0), dtype=torch.bool),
        fresh_noise=torch.randn(x0.shape, generator=generator),
        mu=mu,
    )
