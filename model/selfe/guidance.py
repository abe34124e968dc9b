"""Classifier-free guidance of the clean prediction, and the ways to keep its energy (EP-CFG, arXiv 2412.09966)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from selfe.path import expand, sample_norm

GuidanceNorm = Literal["sample", "robust", "none"]
"""What guidance keeps: the norm of a whole sample (the paper's), that of its middling entries, or nothing (plain CFG)."""


def guide(conditional: Tensor, unconditional: Tensor, omega: float, norm: GuidanceNorm = "sample") -> Tensor:
    """Guided clean prediction with the energy of the conditional one, (B, L, D).

    y = y_c + (omega - 1)(y_c - y_u), rescaled for each sample so that its norm is that of y_c. omega = 1 gives y_c.
    """
    guided = conditional + (omega - 1.0) * (conditional - unconditional)
    if norm == "none":
        return guided
    measure = sample_norm if norm == "sample" else robust_norm
    return guided * (measure(conditional) / measure(guided).clamp_min(1e-6))


def robust_norm(x: Tensor) -> Tensor:
    """Root of the sum of those x^2 that lie between the 45th and 55th percentile of their sample, (B, 1, 1), in float32.

    A few extreme entries do not move it. The percentiles are of x^2, as in public implementations: of x itself, the
    band would hold the entries next to zero, and the ratio of two such norms would be noise. At least 11 entries a sample.
    """
    squares = x.float().square().flatten(1).sort(dim=1).values
    last = squares.shape[1] - 1
    first_rank, last_rank = -(-45 * last // 100), 55 * last // 100
    return expand(squares[:, first_rank : last_rank + 1].sum(dim=1).sqrt(), x)
