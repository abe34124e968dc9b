"""The two times: how t and s are drawn in training, and the grid that a sampler walks (t = 1 noise, t = 0 data).

Sources: Self-E, equations S.11-S.13; the warp is FLUX's (black-forest-labs/flux, src/flux/sampling.py).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class TimePair(NamedTuple):
    """Training times, each of shape (B,), with 0 <= s <= t <= 1."""

    t: Tensor
    s: Tensor


Anchor = tuple[int, float]
"""(number of image tokens L, mu at L)."""
SELFE_ANCHORS: tuple[Anchor, Anchor] = ((512, 0.5), (4096, 1.15))
"""Of the paper (S.12); FLUX has its lower one at (256, 0.5)."""


def mu_of_length(num_tokens: int, anchors: tuple[Anchor, Anchor] = SELFE_ANCHORS) -> float:
    """mu(L), linear in the number of image tokens through two anchors (S.12); not clamped outside them.

    >>> mu_of_length(512), round(mu_of_length(64), 3)
    (0.5, 0.419)
    """
    low, high = anchors
    slope = (high[1] - low[1]) / (high[0] - low[0])
    return low[1] + slope * (num_tokens - low[0])


def warp(t: Tensor, mu: float) -> Tensor:
    """T -> e^mu / (e^mu + 1/t - 1) (S.11): an increasing map of [0, 1] onto itself that favours noisy times for mu > 0."""
    shift = math.exp(mu)
    return shift * t / (shift * t + (1.0 - t))


def sample_t(num_rows: int, *, mu: float, generator: torch.Generator) -> Tensor:
    """Times warp(sigmoid(z)), z ~ N(0, 1) (S.11), shape (num_rows,)."""
    return warp(torch.sigmoid(torch.randn(num_rows, generator=generator)), mu)


def sample_times(
    batch: int,
    *,
    mu: float,
    tau: float,
    generator: torch.Generator,
    equal_share: float = 0.5,
    noise_share: float = 0.0,
) -> TimePair:
    """Draw (t, s): t = warp(sigmoid(z)); s = t for a share of the rows, else s ~ U((1 - tau) t, t) (S.13).

    A row has t = 1 instead with probability ``noise_share``, in [0, 1], and its s follows from that t. At 0 nothing more is
    drawn, so that all times are the same bits as without it.
    """
    t = sample_t(batch, mu=mu, generator=generator)
    if noise_share > 0.0:
        t = torch.where(torch.rand(batch, generator=generator) < noise_share, 1.0, t)
    equal = torch.rand(batch, generator=generator) < equal_share
    s = t * (1.0 - tau * torch.rand(batch, generator=generator))
    return TimePair(t, torch.where(equal, t, s))


def anneal(step: int, num_steps: int) -> float:
    """tau: 0 up to step 0, growing linearly to 1 at ``num_steps`` and staying there (S.13)."""
    return min(1.0, max(0.0, step / num_steps)) if num_steps > 0 else 1.0


def time_grid(num_steps: int, *, mu: float) -> Tensor:
    """The N + 1 times 1 = t_1 > ... > t_{N+1} = 0 of N network calls, float64 (N + 1,)."""
    return warp(torch.linspace(1.0, 0.0, num_steps + 1, dtype=torch.float64), mu)
