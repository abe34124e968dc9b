from __future__ import annotations

import json
import math
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from selfe.sampler import (
    NoiseRule,
    SamplerError,
    SamplerOptions,
    SSchedule,
    jump,
    noise_split,
    per_image_noise,
    sample,
    second_times,
)
from selfe.times import time_grid

SHAPE = (4, 8)
CPU = torch.device("cpu")
MEAN, VARIANCE = 0.7, 0.25
"""Of the Gaussian x0 whose posterior is known in closed form."""
RULES: list[NoiseRule] = ["ddpm", "heuristic"]


def generators(seeds: list[int]) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def smooth(x: Tensor, t: float, s: float) -> Tensor:
    """A network of sorts: depends on all its inputs, row by row."""
    return torch.tanh(x) * (1 - 0.5 * t) + 0.1 * s


def draw(
    seeds: list[int], options: SamplerOptions, *, num_steps: int = 5, clean: Any = smooth, mu: float = 0.3
) -> Tensor:
    return sample(
        clean,
        generators=generators(seeds),
        shape=SHAPE,
        num_steps=num_steps,
        mu=mu,
        options=options,
        device=CPU,
    )


# --- closed forms --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_steps", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("schedule", ["next", "current", 0.3])
def test_constant_velocity_is_integrated_exactly(num_steps: int, schedule: SSchedule) -> None:
    """With V constant, x_0 = x_1 - V at any number of steps (Eq. 22 is exact on straight lines)."""
    velocity = torch.linspace(-1, 1, 32).reshape(SHAPE)

    def clean(x: Tensor, t: float, s: float) -> Tensor:
        del s
        return x - t * velocity

    options = SamplerOptions(guidance=1.0, eta=0.0, s_schedule=schedule)
    drawn = draw([3], options, num_steps=num_steps, clean=clean)

    assert torch.allclose(drawn[0], torch.randn(SHAPE, generator=generators([3])[0]) - velocity, atol=1e-5)


@given(t=st.floats(0.01, 1.0), share=st.floats(0.0, 0.99), rule=st.sampled_from(RULES))
def test_without_eta_a_jump_is_equation_22(t: float, share: float, rule: NoiseRule) -> None:
    """Eta = 0 is x_u = x_t - (t - u) V with V = (x_t - G)/t, for any t and u, under both rules."""
    u = share * t
    x_t, clean = torch.randn(2, 1, *SHAPE, dtype=torch.float64, generator=generators([0])[0])
    velocity = (x_t - clean) / t

    x_u = jump(x_t, clean, None, t, u, noise_split(t, u, 0.0, rule))

    assert torch.allclose(x_u, x_t - (t - u) * velocity, rtol=0.0, atol=1e-12)


@given(
    t=st.floats(0.001, 1.0),
    share=st.just(0.0) | st.floats(1e-6, 0.999),
    eta=st.floats(0.0, 1.0),
    rule=st.sampled_from(RULES),
)
def test_the_noise_of_a_jump_adds_up(t: float, share: float, eta: float, rule: NoiseRule) -> None:
    """The weights of predicted and fresh noise obey b^2 + c^2 = u^2, with b in [0, u], at all times and every eta."""
    u = share * t
    b, c = noise_split(t, u, eta, rule)

    assert b * b + c * c == pytest.approx(u * u, rel=1e-9)
    assert 0.0 <= b <= u * (1 + 1e-12)
    assert c >= 0.0
    if eta == 0.0:
        assert (b, c) == pytest.approx((u, 0.0), rel=1e-9, abs=1e-6 * u)


@pytest.mark.parametrize(
    ("rule", "t", "u", "expected"),
    [
        ("ddpm", 1.0, 0.6, (0.0, 0.6)),
        ("ddpm", 0.8, 0.5, (0.0625 / 0.5, math.sqrt(0.25 - 0.125**2))),
        ("heuristic", 0.8, 0.4, (0.2, math.sqrt(0.12))),
        ("heuristic", 1.0, 0.6, (0.36, math.sqrt(0.36 - 0.36**2))),
    ],
)
def test_full_noise_is_what_the_rule_says(
    rule: NoiseRule, t: float, u: float, expected: tuple[float, float]
) -> None:
    """At eta = 1 Song's rule keeps b = u^2 (1-t)/(t (1-u)), nothing at t = 1; the heuristic one keeps b = u^2/t."""
    assert noise_split(t, u, 1.0, rule) == pytest.approx(expected)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("t", "u"), [(1.0, 0.6), (0.8, 0.5), (0.5, 0.1), (0.3, 0.29)])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_a_jump_from_the_posterior_keeps_the_marginal(
    rule: NoiseRule, t: float, u: float, eta: float
) -> None:
    """With x0 from the exact posterior p(x0|x_t), x_u has mean (1-u) m and variance (1-u)^2 v + u^2: for every eta."""
    at_t = (1 - t) ** 2 * VARIANCE + t * t
    gain = (1 - t) * VARIANCE / at_t
    split = noise_split(t, u, eta, rule)

    def x_u(x_t: float, deviation: float, fresh: float) -> float:
        x0 = MEAN + gain * (x_t - (1 - t) * MEAN) + deviation
        x_t_, x0_, fresh_ = torch.tensor([x_t, x0, fresh], dtype=torch.float64)
        return float(jump(x_t_, x0_, fresh_, t, u, split))

    centre = x_u((1 - t) * MEAN, 0.0, 0.0)
    slopes = [x_u((1 - t) * MEAN + a, b, c) - centre for a, b, c in ((1, 0, 0), (0, 1, 0), (0, 0, 1))]
    variances = (at_t, VARIANCE - gain * (1 - t) * VARIANCE, 1.0)

    assert centre == pytest.approx((1 - u) * MEAN)
    assert sum(k * k * v for k, v in zip(slopes, variances, strict=True)) == pytest.approx(
        (1 - u) ** 2 * VARIANCE + u * u
    )


def posterior_mean(x: Tensor, t: float, s: float = 0.0) -> Tensor:
    """E[x0 | x_t] of the Gaussian."""
    del s
    gain = (1 - t) * VARIANCE / ((1 - t) ** 2 * VARIANCE + t * t)
    return MEAN + gain * (x - (1 - t) * MEAN)


TABLE: list[tuple[float, NoiseRule, tuple[float, ...]]] = [
    (0.0, "ddpm", (0.040, 0.116, 0.172, 0.236, 0.249)),
    (1.0, "ddpm", (0.040, 0.090, 0.135, 0.220, 0.248)),
    (1.0, "heuristic", (0.040, 0.098, 0.145, 0.224, 0.249)),
]
"""Final variance after N = 2, 4, 8, 50, 1000 steps of a linear grid; exact is 0.25. Computed before this code was written,
by an independent program."""


@pytest.mark.parametrize(("eta", "rule", "expected"), TABLE)
def test_variance_of_a_gaussian_with_its_posterior_mean(
    eta: float, rule: NoiseRule, expected: tuple[float, ...]
) -> None:
    """A network that knows E[x0|x_t] gives the right mean at any N, and a variance that rises to the right one with N."""

    def variance(num_steps: int) -> float:
        mean, spread = torch.zeros(2, dtype=torch.float64)
        spread += 1.0
        for t, u in pairwise(time_grid(num_steps, mu=0.0).tolist()):
            split = noise_split(t, u, eta, rule) if u > 0 else (0.0, 0.0)
            moved = jump(mean + 1.0, posterior_mean(mean + 1.0, t), None, t, u, split)
            mean = jump(mean, posterior_mean(mean, t), None, t, u, split)
            spread = (moved - mean).square() * spread + split[1] ** 2
        assert float(mean) == pytest.approx(MEAN, abs=1e-9)
        return float(spread)

    assert [variance(n) for n in (2, 4, 8, 50, 1000)] == pytest.approx(expected, abs=6e-4)


@pytest.mark.parametrize(("eta", "rule", "expected"), TABLE)
def test_the_whole_sampler_has_the_variance_of_the_table(
    eta: float, rule: NoiseRule, expected: tuple[float, ...]
) -> None:
    """Samples drawn in 4 steps have the table's mean and variance: four standard errors of 160,000 numbers, and its rounding."""
    drawn = sample(
        posterior_mean,
        generators=generators(list(range(40))),
        shape=(500, 8),
        num_steps=4,
        mu=5.0,
        options=SamplerOptions(eta=eta, noise_rule=rule, warp=0.0),
        device=CPU,
    )

    assert float(drawn.var()) == pytest.approx(
        expected[1], abs=4 * expected[1] * math.sqrt(2 / drawn.numel()) + 0.0005
    )
    assert float(drawn.mean()) == pytest.approx(MEAN, abs=4 * math.sqrt(expected[1] / drawn.numel()))


# --- second times --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("next", (0.8, 0.2, 0.0)),
        ("current", (1.0, 0.8, 0.2)),
        (0.0, (0.8, 0.2, 0.0)),
        (0.5, (0.9, 0.5, 0.1)),
        (1.0, (1.0, 0.8, 0.2)),
        ((0.85, 0.2, 0.15), (0.85, 0.2, 0.15)),
    ],
)
def test_second_times_lie_between_the_ends_of_their_step(
    schedule: SSchedule, expected: tuple[float, ...]
) -> None:
    """s_k is t_{k+1} for ``next``, t_k for ``current``, interpolates for a number, and is itself in a list."""
    options = SamplerOptions(s_schedule=schedule)

    assert second_times((1.0, 0.8, 0.2, 0.0), options) == pytest.approx(expected, abs=1e-15)


def test_one_step_takes_the_midpoint_unless_told() -> None:
    """With one step ``next`` is s = 0.5 (Fig. S.4); any other schedule means what it says there too."""
    cases: dict[SSchedule, float] = {"next": 0.5, "current": 1.0, 0.0: 0.0, 0.25: 0.25, (0.0,): 0.0}
    for schedule, expected in cases.items():
        assert second_times((1.0, 0.0), SamplerOptions(s_schedule=schedule)) == [expected]
    assert second_times((1.0, 0.0), SamplerOptions(one_step_s=0.75)) == [0.75]


@pytest.mark.parametrize("num_steps", [2, 3, 8])
def test_a_list_that_says_next_is_next(num_steps: int) -> None:
    """The list t_2 ... t_{N+1} draws the bits that ``next`` draws; the list t_1 ... t_N those of ``current``."""
    times = time_grid(num_steps, mu=0.3).tolist()
    for schedule, listed in (("next", times[1:]), ("current", times[:-1])):
        named = draw([1, 2], SamplerOptions(s_schedule=schedule), num_steps=num_steps)  # type: ignore[arg-type]
        assert torch.equal(draw([1, 2], SamplerOptions(s_schedule=tuple(listed)), num_steps=num_steps), named)


def test_a_listed_time_outside_its_step_is_named_with_its_bounds() -> None:
    """The error gives the step, its two times and the value; a rounded time is taken, and held inside the step."""
    with pytest.raises(
        SamplerError, match=r"step 2 of 3 goes from t = 0\.8 to 0\.2, .* \[0\.2, 0\.8\]; got 0\.9"
    ):
        second_times((1.0, 0.8, 0.2, 0.0), SamplerOptions(s_schedule=(0.8, 0.9, 0.0)))
    third = 1 / 3
    assert second_times((1.0, third, 0.0), SamplerOptions(s_schedule=(0.33333, 0.0))) == [third, 0.0]


def test_a_list_belongs_to_one_step_count() -> None:
    """Another number of steps is an error that says both numbers, before the network is called."""

    def never(x: Tensor, t: float, s: float) -> Tensor:
        raise AssertionError((x, t, s))

    for num_steps in (1, 3, 4):
        with pytest.raises(
            SamplerError, match=f"one for each of 2 steps, but {num_steps} steps were asked for"
        ):
            draw([1], SamplerOptions(s_schedule=(0.5, 0.0)), num_steps=num_steps, clean=never)


# --- times and noise -----------------------------------------------------------------------------------------------


def visited(options: SamplerOptions, mu: float) -> list[float]:
    times = []

    def clean(x: Tensor, t: float, s: float) -> Tensor:
        del s
        times.append(t)
        return x

    draw([0], options, num_steps=4, clean=clean, mu=mu)
    return times


def test_the_warp_is_the_models_unless_another_is_asked_for() -> None:
    """None walks the grid of mu, a number the grid of that number, 0 the linear one."""
    assert visited(SamplerOptions(), 0.4) == time_grid(4, mu=0.4).tolist()[:-1]
    assert visited(SamplerOptions(warp=-1.5), 0.4) == time_grid(4, mu=-1.5).tolist()[:-1]
    assert visited(SamplerOptions(warp=0.0), 0.4) == [1.0, 0.75, 0.5, 0.25]


@pytest.mark.parametrize("rule", RULES)
def test_images_do_not_depend_on_their_batch_or_its_order(rule: NoiseRule) -> None:
    """An image is the same alone, in two batches or in one, and a batch in another order is the same images."""
    options = SamplerOptions(guidance=1.0, noise_rule=rule)
    together = draw([1, 2, 3, 4], options)

    assert torch.equal(torch.cat([draw([1, 2], options), draw([3, 4], options)]), together)
    assert torch.equal(draw([3], options)[0], together[2])
    assert torch.equal(draw([4, 2, 1, 3], options), together[[3, 1, 0, 2]])


def test_the_noise_of_an_image_is_its_generators_own_sequence() -> None:
    """Each call takes the next standard normal of every generator, as ``torch.randn`` would have drawn it."""
    ours = generators([5, 6])
    first, second = (per_image_noise(ours, SHAPE, CPU) for _ in range(2))

    for row, generator in enumerate(generators([5, 6])):
        assert torch.equal(first[row], torch.randn(SHAPE, generator=generator))
        assert torch.equal(second[row], torch.randn(SHAPE, generator=generator))


# --- options -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"guidance": 0.5},
        {"guidance": float("nan")},
        {"guidance": float("inf")},
        {"guidance_norm": "token"},
        {"negative_prompt": "a dog", "guidance": 1.0},
        {"eta": 1.5},
        {"noise_rule": "euler"},
        {"s_schedule": 2.0},
        {"s_schedule": "later"},
        {"s_schedule": ()},
        {"s_schedule": (0.5, float("nan"))},
        {"one_step_s": -0.1},
        {"warp": float("inf")},
    ],
)
def test_options_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    """An option outside its range, or that nothing would read, is an error that names it."""
    with pytest.raises(SamplerError, match=next(iter(wrong))):
        SamplerOptions(**wrong)


def test_no_steps_are_no_samples() -> None:
    """N is at least 1."""
    with pytest.raises(SamplerError, match="num_steps must be at least 1; got 0"):
        draw([1], SamplerOptions(), num_steps=0)


def test_options_come_back_from_json() -> None:
    """Written as JSON and read again they are equal, a list being a tuple; what an older file lacks is the default."""
    options = SamplerOptions(s_schedule=(0.5, 0.0), warp=0.2, guidance_norm="robust", negative_prompt="a dog")
    older = {"guidance": 2.0, "eta": 1.0, "noise_rule": "ddpm", "s_schedule": "next", "one_step_s": 0.5}

    assert SamplerOptions(**json.loads(json.dumps(asdict(options)))) == options
    assert SamplerOptions(**older) == SamplerOptions(guidance=2.0)  # type: ignore[arg-type]
