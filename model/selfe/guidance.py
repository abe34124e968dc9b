"""Energy-preserving classifier-free guidance (EP-CFG, arXiv 2412.09966)."""

from __future__ import annotations

from torch import Tensor

from selfe.path import sample_norm


def energy_preserving_guidance(conditional: Tensor, unconditional: Tensor, omega: float) -> Tensor:
    """Guided clean prediction with the energy of the conditional one, (B, L, D).

    y = y_c + (omega - 1)(y_c - y_u), rescaled so that the norm over all elements of each sample is that of y_c.
    omega = 1 gives y_c.
    """
    guided = conditional + (omega - 1.0) * (conditional - unconditional)
    return guided * (sample_norm(conditional) / sample_norm(guided).clamp_min(1e-6))
