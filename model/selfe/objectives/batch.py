"""What every objective receives and returns."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from selfe.condition import Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingBatch:
    """One batch, noised and timed."""

    x0: Tensor
    """Clean latents as tokens (B, L, D), standardised, float32."""
    eps: Tensor
    """Noise of the same shape."""
    t: Tensor
    """(B,) in (0, 1]."""
    s: Tensor
    """(B,) with 0 <= s <= t."""
    c: Condition
    """B prompts; rows of ``dropped`` already hold the null prompt."""
    phi: Condition
    """The null prompt, one row."""
    c_fake: Condition | None = None
    """B prompts with the phrase "fake image" beside them, where the objective asks for them."""
    dropped: Tensor
    """bool (B,): rows whose caption was dropped."""
    fresh_noise: Tensor
    """A second noise (B, L, D), independent of eps."""
    mu: float = 0.0
    """Mean shift of the batch's grid, with which its times were drawn."""
    step: int = 0
    """Optimiser steps since this objective took over (after the warm start), from 0."""

    def rows(self, which: slice) -> TrainingBatch:
        """Some of the rows, as a batch of their own; ``phi``, ``mu`` and ``step`` stay."""
        numbers = torch.arange(len(self.x0), device=self.x0.device)[which]
        return replace(
            self,
            x0=self.x0[which],
            eps=self.eps[which],
            t=self.t[which],
            s=self.s[which],
            c=self.c.rows(numbers),
            c_fake=None if self.c_fake is None else self.c_fake.rows(numbers),
            dropped=self.dropped[which],
            fresh_noise=self.fresh_noise[which],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveResult:
    """A loss to minimise and numbers to look at."""

    loss: Tensor
    """Scalar: the mean over the batch."""
    metrics: dict[str, Tensor]
    """Detached scalars for the log; "loss" is among them. Means over rows, so that they can be averaged over batches."""
