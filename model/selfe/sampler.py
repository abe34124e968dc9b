"""The any-step sampler: N network calls along a grid of times, each a jump from t_k to t_{k+1} (Eq. 22 and appendix S.2).

Noise belongs to the image: every image has its own generator, so it does not depend on the batch it is drawn in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from selfe.guidance import energy_preserving_guidance
from selfe.times import time_grid

CleanFunction = Callable[[Tensor, float, float], Tensor]
"""(x_t (B, L, D), t, s) -> predicted clean latents (B, L, D)."""

NoiseRule = Literal["ddpm", "heuristic"]
SSchedule = Literal["next", "current"] | float


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerOptions:
    """How to sample; the defaults are the paper's, except where a checkpoint brings its own."""

    guidance: float = 5.0
    """omega of EP-CFG; 1 switches guidance, and its second network branch, off."""
    eta: float = 1.0
    """0: deterministic (Eq. 22); 1: as much fresh noise as the noise rule allows (appendix S.2)."""
    noise_rule: NoiseRule = "ddpm"
    """``ddpm``: Song et al. (2010.02502); ``heuristic``: predictor-corrector, the rule of minFM."""
    s_schedule: SSchedule = "next"
    """The second time of a step: ``next`` s_k = t_{k+1}, ``current`` s_k = t_k, or a number f in [0, 1] for
    s_k = t_{k+1} + f (t_k - t_{k+1})."""
    one_step_s: float = 0.5
    """s of the only step when N = 1: at s = 0 the evaluation signal of training is silent (Fig. S.4)."""

    def __post_init__(self) -> None:
        if not self.guidance >= 1.0:
            raise ValueError(f"guidance must be at least 1 (1 switches it off); got {self.guidance}.")
        if not 0.0 <= self.eta <= 1.0:
            raise ValueError(f"eta must lie in [0, 1]; got {self.eta}.")
        if isinstance(self.s_schedule, float | int) and not 0.0 <= self.s_schedule <= 1.0:
            raise ValueError(
                f"s_schedule must be 'next', 'current' or a number in [0, 1]; got {self.s_schedule}."
            )


def second_time(t: float, t_next: float, options: SamplerOptions, *, num_steps: int) -> float:
    """s_k in [t_{k+1}, t_k] for the step from t to t_next."""
    if options.s_schedule == "current":
        return t
    if options.s_schedule == "next":
        return options.one_step_s * t if num_steps == 1 else t_next
    return t_next + float(options.s_schedule) * (t - t_next)


def noise_split(t: float, u: float, eta: float, rule: NoiseRule) -> tuple[float, float]:
    """Weights (b, c) of the predicted noise and of fresh noise in a jump from t to u; b^2 + c^2 = u^2.

    ``ddpm``: c = eta u sqrt(1 - ((1-t)u / ((1-u)t))^2). ``heuristic``: b = max(u - eta (t-u) u/t, 0).
    Both keep the marginal of x_u when x0 is drawn from its posterior; eta = 0 gives (u, 0), which is Eq. 22.
    """
    if rule == "ddpm":
        ratio = (1.0 - t) * u / ((1.0 - u) * t)
        c = eta * u * math.sqrt(max(0.0, 1.0 - ratio * ratio))
        return math.sqrt(max(0.0, u * u - c * c)), c
    b = max(u - eta * (t - u) * u / t, 0.0)
    return b, math.sqrt(max(0.0, u * u - b * b))


def jump(
    x_t: Tensor, clean: Tensor, fresh: Tensor | None, t: float, u: float, split: tuple[float, float]
) -> Tensor:
    """x_u = (1 - u) xhat0 + b epshat + c n, with epshat = (x_t - (1 - t) xhat0) / t."""
    b, c = split
    predicted_noise = (x_t - (1.0 - t) * clean) / t
    x_u = (1.0 - u) * clean + b * predicted_noise
    return x_u if fresh is None else x_u + c * fresh


def sample(
    clean: CleanFunction,
    *,
    generators: Sequence[torch.Generator],
    shape: tuple[int, int],
    num_steps: int,
    mu: float,
    options: SamplerOptions,
    device: torch.device,
) -> Tensor:
    """Draw one latent for each generator with ``num_steps`` calls of ``clean``; float32 (B, L, D).

    Raises:
        ValueError: num_steps is less than 1.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1; got {num_steps}.")
    times = time_grid(num_steps, mu=mu).tolist()
    x = per_image_noise(generators, shape, device)
    for t, u in pairwise(times):
        xhat0 = clean(x, t, second_time(t, u, options, num_steps=num_steps))
        split = noise_split(t, u, options.eta, options.noise_rule) if u > 0.0 else (0.0, 0.0)
        fresh = per_image_noise(generators, shape, device) if split[1] > 0.0 else None
        x = jump(x, xhat0, fresh, t, u, split)
    return x


def per_image_noise(
    generators: Sequence[torch.Generator], shape: tuple[int, int], device: torch.device
) -> Tensor:
    """The next standard normal (L, D) of every image's own generator, (B, L, D)."""
    return torch.stack([torch.randn(shape, generator=generator) for generator in generators]).to(device)


def guided(
    conditional_and_null: Callable[[Tensor, float, float], tuple[Tensor, Tensor]], omega: float
) -> CleanFunction:
    """A clean function with EP-CFG, from one that returns the conditional and the null prediction of one batch."""

    def clean(x_t: Tensor, t: float, s: float) -> Tensor:
        conditional, unconditional = conditional_and_null(x_t, t, s)
        return energy_preserving_guidance(conditional, unconditional, omega)

    return clean
