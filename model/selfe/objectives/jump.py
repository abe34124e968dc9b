"""One step of a few-step sampler, row by row: where a predicted clean sample takes x_t at an earlier time."""

from __future__ import annotations

import torch
from torch import Tensor

from selfe.path import expand


def jump(x_t: Tensor, clean: Tensor, t: Tensor, s: Tensor) -> Tensor:
    """x_s = (s/t) x_t + (1 - s/t) G, (B, L, D), for 0 <= s <= t <= 1; x_t itself where s = t.

    This is x_t - (t - s) V (Self-E Eq. 22; IMM's f_{s,t}) with V = (x_t - G) / t put in, so that no difference is
    divided by a small t.
    """
    kept = expand(torch.where(s < t, s / t, 1.0), x_t)
    return kept * x_t + (1.0 - kept) * clean
