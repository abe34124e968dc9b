"""The any-step sampler: N network calls along a grid of times, each a jump from t_k to t_{k+1} (Eq. 22 and appendix S.2).

Noise belongs to the image: every image has its own generator on the CPU, so it depends neither on the batch nor on the
device it is drawn in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor

from selfe.guidance import GuidanceNorm, guide
from selfe.times import time_grid

CleanFunction = Callable[[Tensor, float, float], Tensor]
"""(x_t (B, L, D), t, s) -> predicted clean latents (B, L, D)."""

NoiseRule = Literal["ddpm", "heuristic"]
SSchedule = Literal["next", "current"] | float | tuple[float, ...]

TIME_TOLERANCE = 1e-5
"""A listed second time may miss its step by so much: people type rounded times."""


class SamplerError(ValueError):
    """Sampler options that fit neither each other nor what was asked for; the message says which and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerOptions:
    """How to sample; the defaults are the paper's, except where a checkpoint brings its own."""

    guidance: float = 5.0
    """omega of EP-CFG; 1 switches guidance, and its second network branch, off."""
    guidance_norm: GuidanceNorm = "sample"
    """What guidance keeps of the conditional prediction: its ``sample`` norm, its ``robust`` one, or ``none`` (plain CFG)."""
    negative_prompt: str = ""
    """What the unconditional branch reads; empty: the null prompt phi."""
    eta: float = 1.0
    """0: deterministic (Eq. 22); 1: as much fresh noise as the noise rule allows (appendix S.2)."""
    noise_rule: NoiseRule = "ddpm"
    """``ddpm``: Song et al. (2010.02502); ``heuristic``: predictor-corrector, the rule of minFM."""
    s_schedule: SSchedule = "next"
    """The second time of a step: ``next`` s_k = t_{k+1}, ``current`` s_k = t_k, a number f in [0, 1] for
    s_k = t_{k+1} + f (t_k - t_{k+1}), or the N times themselves, each in [t_{k+1}, t_k]."""
    one_step_s: float = 0.5
    """s of the only step when N = 1 and the schedule is ``next``: at s = 0 the evaluation signal of training is silent
    (Fig. S.4)."""
    warp: float | None = None
    """Mean shift of the times (S.11); None: the mu(L) the model was trained with, 0: a linear grid."""

    def __post_init__(self) -> None:
        if not isinstance(self.s_schedule, str | float | int):  # a list, as JSON has it
            object.__setattr__(self, "s_schedule", tuple(self.s_schedule))
        _refuse_outside("guidance_norm", self.guidance_norm, get_args(GuidanceNorm))
        _refuse_outside("noise_rule", self.noise_rule, get_args(NoiseRule))
        if not 1.0 <= self.guidance < math.inf:
            raise SamplerError(
                f"guidance must be a number of at least 1 (1 switches it off); got {self.guidance}."
            )
        if self.negative_prompt and self.guidance == 1.0:
            raise SamplerError(
                f"negative_prompt {self.negative_prompt!r} would be read by nobody: it takes guidance above 1."
            )
        if not 0.0 <= self.eta <= 1.0:
            raise SamplerError(f"eta must lie in [0, 1]; got {self.eta}.")
        if self.warp is not None and not math.isfinite(self.warp):
            raise SamplerError(f"warp must be a number (0: a linear grid) or None; got {self.warp}.")
        self._check_second_times()

    def _check_second_times(self) -> None:
        if not 0.0 <= self.one_step_s <= 1.0:
            raise SamplerError(f"one_step_s must lie in [0, 1]; got {self.one_step_s}.")
        if isinstance(self.s_schedule, str):
            _refuse_outside("s_schedule", self.s_schedule, ("next", "current"))
            return
        numbers = self.s_schedule if isinstance(self.s_schedule, tuple) else (self.s_schedule,)
        if not numbers or not all(0.0 <= number <= 1.0 for number in numbers):
            raise SamplerError(
                "s_schedule must be 'next', 'current', a number in [0, 1], or a list of such numbers, one for each step; "
                f"got {self.s_schedule}."
            )


def _refuse_outside(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise SamplerError(f"{option} must be one of {', '.join(known)}; got {value!r}.")


def second_times(times: Sequence[float], options: SamplerOptions) -> list[float]:
    """s_k in [t_{k+1}, t_k] for each of the N steps along N + 1 falling times.

    Raises:
        SamplerError: a list of second times is of another number of steps, or one lies outside its step.
    """
    steps = list(pairwise(times))
    schedule = options.s_schedule
    if isinstance(schedule, tuple):
        return _listed_times(steps, schedule)
    if schedule == "next":
        return [options.one_step_s * t for t, _ in steps] if len(steps) == 1 else [u for _, u in steps]
    fraction = 1.0 if schedule == "current" else schedule
    return [t if fraction == 1.0 else u + fraction * (t - u) for t, u in steps]


def _listed_times(steps: Sequence[tuple[float, float]], listed: Sequence[float]) -> list[float]:
    if len(listed) != len(steps):
        raise SamplerError(
            f"s_schedule lists {len(listed)} second times, one for each of {len(listed)} steps, but {len(steps)} steps were "
            f"asked for. Ask for {len(listed)} steps alone, or take next, current or a number, which fit any step count."
        )
    for number, ((t, u), s) in enumerate(zip(steps, listed, strict=True), start=1):
        if not u - TIME_TOLERANCE <= s <= t + TIME_TOLERANCE:
            raise SamplerError(
                f"s_schedule: step {number} of {len(steps)} goes from t = {t:.6g} to {u:.6g}, so its second time must lie in "
                f"[{u:.6g}, {t:.6g}]; got {s:.6g}. The times follow from the step count and the warp."
            )
    return [min(max(s, u), t) for (t, u), s in zip(steps, listed, strict=True)]


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

    Args:
        clean: The network with its prompts, grid and guidance.
        generators: One on the CPU for each image.
        shape: (L, D) of a latent.
        num_steps: N.
        mu: Mean shift of the times, where the options name no other.
        options: How to sample.
        device: Where ``clean`` computes.

    Raises:
        SamplerError: num_steps is less than 1, or the second times do not fit it; before the first network call.
    """
    if num_steps < 1:
        raise SamplerError(f"num_steps must be at least 1; got {num_steps}.")
    times = time_grid(num_steps, mu=mu if options.warp is None else options.warp).tolist()
    second = second_times(times, options)
    x = per_image_noise(generators, shape, device)
    for (t, u), s in zip(pairwise(times), second, strict=True):
        xhat0 = clean(x, t, s)
        split = noise_split(t, u, options.eta, options.noise_rule) if u > 0.0 else (0.0, 0.0)
        fresh = per_image_noise(generators, shape, device) if split[1] > 0.0 else None
        x = jump(x, xhat0, fresh, t, u, split)
    return x


def per_image_noise(
    generators: Sequence[torch.Generator], shape: tuple[int, int], device: torch.device
) -> Tensor:
    """The next standard normal (L, D) of every image's own generator, (B, L, D).

    A GPU gets it in one copy from pinned memory, which does not wait for the network call that is still running there.
    """
    is_cuda = device.type == "cuda"
    noise = torch.empty(len(generators), *shape, pin_memory=is_cuda)
    for image, generator in zip(noise, generators, strict=True):
        image.normal_(generator=generator)
    return noise.to(device, non_blocking=is_cuda)


def guided(
    conditional_and_null: Callable[[Tensor, float, float], tuple[Tensor, Tensor]],
    omega: float,
    norm: GuidanceNorm = "sample",
) -> CleanFunction:
    """A clean function with guidance, from one that returns the conditional and the null prediction of one batch."""

    def clean(x_t: Tensor, t: float, s: float) -> Tensor:
        conditional, unconditional = conditional_and_null(x_t, t, s)
        return guide(conditional, unconditional, omega, norm)

    return clean
