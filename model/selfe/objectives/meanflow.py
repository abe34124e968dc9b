"""MeanFlow: V(x_t, t, s, c) learns the average velocity u of the flow from t down to s (Geng et al., arXiv 2505.13447).

With u = V, the path's velocity v = eps - x0 and all derivatives along the path (the tangent (v, 1, 0) of (x_t, t, s)):

    u        = (1 / (t - s)) * integral of the flow's velocity from s to t                     (their Eq. 3)
    u_target = sg[v - (t - s) du/dt],   du/dt = v . grad_x u + partial_t u                     (their Eq. 6, 8 and 10-11)
    loss     = sg[w] e,   e = ||u - u_target||^2 summed over elements,   w = 1 / (e + c)^p     (their Eq. 22)

At s = t the target is v: flow matching. The paper's guidance in training is left out: omega = 1 and kappa = 0 in its terms,
so that the sampler guides every objective alike.

The derivative is needed on the rows with s < t only, and no gradient flows through it: it is a pass of its own, without
gradient, worth 2 forward passes of those rows by either method. Cost: 3 + 2 * ``average_share`` = 3.5 forward equivalents.
(In forward mode torch's elementwise operations are not fused: on a CPU such a pass took the time of 3.5 forward passes.)
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from selfe.objectives.batch import ObjectiveResult, TrainingBatch
from selfe.objectives.networks import Networks
from selfe.objectives.rows import rows_where
from selfe.parametrisation import MIN_T_V, velocity_loss
from selfe.path import expand, noised
from selfe.times import TimePair, sample_t

AverageVelocity = Callable[[Tensor, Tensor], Tensor]
"""(x_t (B, L, D), t (B,)) -> u (B, L, D) at fixed s and c."""
Derivative = Literal["jvp", "difference"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanFlow:
    """MeanFlow without guidance in training."""

    name: ClassVar[str] = "meanflow"
    rows_per_caption: ClassVar[int] = 1
    needs_fake_prompts: ClassVar[bool] = False

    average_share: float = 0.25
    """Share of rows with s < t. The paper: 0.25 on ImageNet, 0.75 on CIFAR-10."""
    derivative: Derivative = "jvp"
    """How du/dt is computed. ``jvp``: forward-mode differentiation, exact, also under bfloat16 autocast. ``difference``:
    two plain calls in float32, for networks that forward mode cannot pass (kernels or wrappers without its formulas)."""
    difference_step: float = 2e-4
    """h of ``difference``. The embedding of the times turns at up to 1000 radians per unit of time, so that 1e-3 is off
    by a tenth already on our network; below 1e-5 rounding takes over."""
    weight_power: float = 1.0
    """p of the adaptive weight; 0 switches it off. The paper: 1 on ImageNet, 0.75 on CIFAR-10."""
    weight_offset: float = 0.01
    """c of the adaptive weight, of a sum over elements (the paper's code; the paper says 1e-3)."""

    def __post_init__(self) -> None:
        """Refuse values without a meaning."""
        if self.derivative not in get_args(Derivative):
            raise ValueError(
                f"derivative {self.derivative!r} is not one of {', '.join(get_args(Derivative))}."
            )
        if not 0.0 <= self.average_share <= 1.0:
            raise ValueError(f"average_share {self.average_share}: expected a share between 0 and 1.")
        for name in ("difference_step", "weight_offset"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{name} {getattr(self, name)}: expected a number above 0.")
        if not 0.0 <= self.weight_power <= 1.0:
            raise ValueError(f"weight_power {self.weight_power}: expected a power between 0 (off) and 1.")

    def times(self, num_rows: int, *, mu: float, step: int, generator: torch.Generator) -> TimePair:
        """Two independent draws, the later is t and the earlier s; s = t = the first draw for the other rows.

        The paper draws both from sigmoid(N(-0.4, 1)); here it is warp(sigmoid(N(0, 1))), as for flow matching and Self-E,
        so that the rows with s = t train the same noise levels under all three.
        """
        del step
        first, second = (sample_t(num_rows, mu=mu, generator=generator) for _ in range(2))
        average = torch.rand(num_rows, generator=generator) < self.average_share
        return TimePair(
            torch.where(average, torch.maximum(first, second), first),
            torch.where(average, torch.minimum(first, second), first),
        )

    def loss(self, networks: Networks, batch: TrainingBatch) -> ObjectiveResult:
        """The adaptively weighted loss; the metric ``velocity_error`` is e per element, comparable with flow matching."""
        x_t = noised(batch.x0, batch.eps, batch.t)
        error = velocity_loss(
            networks.live(x_t, batch.t, batch.s, batch.c),
            target_x0=self._target(networks, batch, x_t),
            x0=batch.x0,
            eps=batch.eps,
            t=batch.t,
            kind=networks.parametrisation,
        )
        total = error * batch.x0[0].numel()
        weight = adaptive_weight(total.detach(), power=self.weight_power, offset=self.weight_offset)
        loss = (weight * total).mean()
        return ObjectiveResult(
            loss=loss, metrics={"loss": loss.detach(), "velocity_error": error.detach().mean()}
        )

    @torch.no_grad()
    def _target(self, networks: Networks, batch: TrainingBatch, x_t: Tensor) -> Tensor:
        """x_t - t u_target = x0 + t (t - s) du/dt: the clean sample to which u_target points."""
        rows = rows_where(batch.s < batch.t)
        x, t, s, c = x_t[rows], batch.t[rows], batch.s[rows], batch.c.rows(rows)
        v = (batch.eps - batch.x0)[rows]

        def u(x: Tensor, t: Tensor) -> Tensor:
            # Cut off at MIN_T_V also where G is predicted: MIN_T_X0 would change the derivative.
            return (x - networks.clean(networks.live, x, t, s, c)) / expand(t.clamp_min(MIN_T_V), x)

        if self.derivative == "jvp":
            du_dt = derivative_by_jvp(u, x, v, t)
        else:
            c = c.in_float32()  # autocast, which takes embeddings as they are stored, is off there
            du_dt = derivative_by_difference(u, x, v, t, s, step=self.difference_step)
        target = batch.x0.clone()
        target[rows] += expand(t * (t - s), x) * du_dt
        return target


@torch.no_grad()
def derivative_by_jvp(u: AverageVelocity, x_t: Tensor, v: Tensor, t: Tensor) -> Tensor:
    """du/dt along the tangent (v, 1) of (x_t, t), float32 (B, L, D), by forward-mode differentiation.

    Fused attention kernels and compiled code have no forward-mode formulas: inside, attention is torch's own composition of
    matrix products and a compiled network runs as it was written (what is compiled stays so for other calls).

    Raises:
        NotImplementedError: of torch, where the network has another operation without such a formula.
    """
    eager = torch.compiler.set_stance("force_eager")
    with warnings.catch_warnings(), eager, sdpa_kernel(SDPBackend.MATH), forward_ad.dual_level():
        # The first dual tensor of a process makes torch compile its own formulas with its own deprecated compiler.
        warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated", category=FutureWarning)
        average = u(forward_ad.make_dual(x_t, v), forward_ad.make_dual(t, torch.ones_like(t)))
        tangent: Tensor | None = forward_ad.unpack_dual(average).tangent
    assert tangent is not None, "u depends on x_t"
    return tangent


@torch.no_grad()
def derivative_by_difference(
    u: AverageVelocity, x_t: Tensor, v: Tensor, t: Tensor, s: Tensor, *, step: float
) -> Tensor:
    """The same by the central difference over [t - step, t + step], cut off at s and at 1; 0 at s = t = 1.

    Autocast is off inside: a difference of two bfloat16 outputs would be rounding.
    """
    late, early = (t + step).clamp_max(1.0), torch.maximum(t - step, s)
    with torch.autocast(x_t.device.type, enabled=False):
        ahead = u(x_t + expand(late - t, x_t) * v, late)
        behind = u(x_t + expand(early - t, x_t) * v, early)
    return (ahead - behind) / expand((late - early).clamp_min(1e-12), x_t)


def adaptive_weight(error: Tensor, *, power: float, offset: float) -> Tensor:
    """1 / (error + offset)^power, (B,), for squared errors summed over the elements of a sample."""
    return (error + offset).pow(-power)
