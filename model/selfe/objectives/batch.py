"""What every objective receives and returns."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingBatch:
    """One batch, noised and timed."""

    x0: Tensor
    """Clean latents (B, L, D), standardised, float32."""
    eps: Tensor
    """Noise of the same shape."""
    t: Tensor
    """(B,) in (0, 1)."""
    s: Tensor
    """(B,) with 0 <= s <= t."""
    tokens: Tensor
    """Captions as token numbers (B, T); rows of ``dropped`` already hold the null prompt."""
    dropped: Tensor
    """bool (B,): rows whose caption was dropped."""
    fresh_noise: Tensor
    """eps' of the self-evaluation (B, L, D), independent of eps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveResult:
    """A loss to minimise and numbers to look at."""

    loss: Tensor
    """Scalar."""
    metrics: dict[str, Tensor]
    """Detached scalars for the log."""
