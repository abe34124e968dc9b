"""The networks as objectives call them: plain functions (x_t, t, s, c) -> output, whatever wraps them.

An objective never sees a module. So the same objective runs under DDP, FSDP or ``torch.compile``, and its tests can put in
the exact solution of a case with a closed form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from selfe.condition import Condition
from selfe.parametrisation import Parametrisation, predicted_clean

Network = Callable[[Tensor, Tensor, Tensor, Condition], Tensor]
"""(x_t (B, L, D), t (B,), s (B,), c) -> raw output (B, L, D), which ``Parametrisation`` says how to read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """The network in training and its exponential moving average."""

    live: Network
    """Gradients flow to its weights where they are enabled."""
    average: Network
    """Its weights are constants."""
    parametrisation: Parametrisation
    """What both return."""

    def clean(self, network: Network, x_t: Tensor, t: Tensor, s: Tensor, c: Condition) -> Tensor:
        """G(x_t, t, s, c), float32 (B, L, D), from ``live`` or ``average``."""
        return predicted_clean(network(x_t, t, s, c), x_t, t, self.parametrisation)
