"""What the network's output means: the clean sample (``x0``) or the velocity (``v``).

x0 is decisive for small networks: it stays on the data manifold, while v must carry the noise through. Both give the
paper's loss w(t) ||G - target||^2 with w = 1/t^2 (Eq. 21), which at s = t is the plain velocity loss.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from selfe.path import expand

Parametrisation = Literal["x0", "v"]

MIN_T_X0 = 0.05
"""Where G is predicted, 1/t is cut off here (JiT, arXiv 2511.13720): below it the weight would only amplify rounding."""
MIN_T_V = 1e-3
"""Where V is predicted, the 1/t of the target's correction is bounded by the path itself; this only avoids 0/0."""


def predicted_clean(output: Tensor, x_t: Tensor, t: Tensor, kind: Parametrisation) -> Tensor:
    """G(x_t, t, s, c) = x_t - t V (Eq. 6), float32 (B, L, D)."""
    if kind == "x0":
        return output.float()
    return x_t - expand(t, x_t) * output.float()


def velocity_loss(
    output: Tensor, *, target_x0: Tensor, x0: Tensor, eps: Tensor, t: Tensor, kind: Parametrisation
) -> Tensor:
    """(1/t^2) ||G - target_x0||^2, averaged over elements: one number per sample, shape (B,).

    For ``v`` the division is done analytically: V* = (eps - x0) + (x0 - target_x0)/t, exact where target_x0 is x0.
    """
    if kind == "x0":
        residual = (output.float() - target_x0) / expand(t.clamp_min(MIN_T_X0), x0)
    else:
        correction = (x0 - target_x0) / expand(t.clamp_min(MIN_T_V), x0)
        residual = output.float() - ((eps - x0) + correction)
    return residual.square().flatten(1).mean(dim=1)
