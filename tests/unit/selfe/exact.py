"""Networks that are exact: the posterior means of distributions with a closed form, as functions (x, t, s, c) -> output.

A prompt is one number: PHI, C or C_FAKE. Samples are tokens (B, L, D) whose elements are independent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from selfe.condition import Condition
from selfe.objectives.batch import TrainingBatch
from selfe.objectives.networks import Network, Networks
from selfe.parametrisation import Parametrisation
from selfe.path import expand

PHI, C, C_FAKE = 0, 1, 2

PosteriorMean = Callable[[Tensor, Tensor], Tensor]
"""(x_t (B, L, D), t (B, 1, 1)) -> E[x0 | x_t]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaussian:
    """x0 ~ N(mean, variance)."""

    mean: float
    variance: float

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """E[x0 | x_t]; x_t ~ N(a mean, a^2 variance + t^2) with a = 1 - t, and Cov(x0, x_t) = a variance."""
        a = 1 - t
        return self.mean + a * self.variance / (a**2 * self.variance + t**2) * (x - a * self.mean)

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """E[eps - x0 | x_t], also at t = 0, where (x - G) / t is 0/0."""
        a = 1 - t
        return (t - a * self.variance) / (a**2 * self.variance + t**2) * (x - a * self.mean) - self.mean

    def score(self, x: Tensor, t: Tensor) -> Tensor:
        """The gradient of log p(x_t)."""
        a = 1 - t
        return -(x - a * self.mean) / (a**2 * self.variance + t**2)


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoPoint:
    """x0 = +size with the given probability, else -size."""

    size: float
    probability: float = 0.5

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        """E[x0 | x_t] = size tanh(a size x / t^2 + logit(probability) / 2)."""
        half_logit = torch.logit(torch.tensor(self.probability)) / 2
        return self.size * torch.tanh((1 - t) * self.size * x / t.square() + half_logit)


def prompts(numbers: Tensor) -> Condition:
    """Prompts from their numbers (B,)."""
    return Condition(numbers[:, None], torch.ones(len(numbers), 1, dtype=torch.bool))


def by_prompt(means: Mapping[int, PosteriorMean], kind: Parametrisation = "x0") -> Network:
    """The network that returns the posterior mean that belongs to the prompt of each row; for ``v`` all are Gaussian."""

    def network(x: Tensor, t: Tensor, s: Tensor, c: Condition) -> Tensor:
        del s
        t = expand(t, x)
        output = torch.full_like(x, torch.nan)
        for number, mean in means.items():
            if kind == "v":
                assert isinstance(mean, Gaussian)
                answer = mean.velocity(x, t)
            else:
                answer = mean(x, t)
            output = torch.where(expand(c.tokens[:, 0] == number, x), answer, output)
        return output

    return network


def networks(live: Network, average: Network | None = None, kind: Parametrisation = "x0") -> Networks:
    """Networks whose averaged weights are the live ones unless told otherwise."""
    return Networks(live=live, average=live if average is None else average, parametrisation=kind)


def batch(
    x0: Tensor,
    *,
    t: float | Tensor,
    s: float | Tensor,
    seed: int = 0,
    eps: Tensor | None = None,
    step: int = 0,
) -> TrainingBatch:
    """x0 with noise by the seed; every row has prompt C, none was dropped."""
    generator = torch.Generator().manual_seed(seed)
    rows = len(x0)
    fresh, other = torch.randn(2, *x0.shape, generator=generator)
    return TrainingBatch(
        x0=x0,
        eps=other if eps is None else eps,
        t=torch.as_tensor(t).expand(rows),
        s=torch.as_tensor(s).expand(rows),
        c=prompts(torch.full((rows,), C)),
        phi=prompts(torch.tensor([PHI])),
        c_fake=prompts(torch.full((rows,), C_FAKE)),
        dropped=torch.zeros(rows, dtype=torch.bool),
        fresh_noise=fresh,
        step=step,
    )
