"""What Self-E's prediction is drawn to: data and self-evaluation, mixed (Self-E Eq. 16-20)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from selfe.path import expand, sample_norm

TargetMode = Literal["renorm", "convex", "eq16"]
"""``renorm``: the mixture at the energy of the data (Eq. 19-20); ``convex``: the mixture (Eq. 18); ``eq16``: the two terms of
the raw hybrid loss (Eq. 16), whose gradient is 1 + lambda times that of ``convex``."""

MIN_NORM = 1e-6
"""Below this norm a sample has no direction, and is not rescaled to one."""


def convex_target(x0: Tensor, x_self: Tensor, beta: Tensor) -> Tensor:
    """(1 - beta) x0 + beta x_self = (x0 + lambda x_self) / (1 + lambda) (Eq. 18), (B, L, D); beta is (B,)."""
    beta = expand(beta, x0)
    return (1.0 - beta) * x0 + beta * x_self


def energy_preserving(target: Tensor, x0: Tensor) -> Tensor:
    """The target (B, L, D) at the norm of x0, sample by sample over all its elements (Eq. 19-20).

    The paper rescales x0 + lambda x_self; the factor 1 + lambda that divides the convex target cancels.
    """
    return target * (sample_norm(x0) / sample_norm(target).clamp_min(MIN_NORM))


def norm_ratio(x: Tensor, x0: Tensor) -> Tensor:
    """||x|| / ||x0||, the mean over samples: a scalar for the log."""
    return (sample_norm(x) / sample_norm(x0).clamp_min(MIN_NORM)).mean()
