from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from selfe.sampler import NoiseRule, SamplerOptions, guided, noise_split, sample, second_time
from selfe.times import time_grid

SHAPE = (4, 8)
CPU = torch.device("cpu")


def generators(seeds: list[int]) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.mark.parametrize("num_steps", [1, 2, 3, 7, 50])
def test_constant_velocity_is_integrated_exactly(num_steps: int) -> None:
    """With V constant, x_0 = x_1 - V at any number of steps (Eq. 22 is exact on straight lines)."""
    velocity = torch.linspace(-1, 1, 32).reshape(SHAPE)

    def clean(x: Tensor, t: float, s: float) -> Tensor:
        del s
        return x - t * velocity

    options = SamplerOptions(guidance=1.0, eta=0.0)
    drawn = sample(
        clean,
        generators=generators([3]),
        shape=SHAPE,
        num_steps=num_steps,
        mu=0.4,
        options=options,
        device=CPU,
    )
    noise = torch.randn(SHAPE, generator=generators([3])[0])

    assert torch.allclose(drawn[0], noise - velocity, atol=1e-5)


@pytest.mark.parametrize("rule", ["ddpm", "heuristic"])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_variance_of_a_gaussian_with_its_exact_posterior_mean(rule: NoiseRule, eta: float) -> None:
    """x0 ~ N(0.7, 0.25): with E[x0|x_t] the sampler converges to mean 0.7 and variance 0.25 (closed-form recursion)."""
    mean, variance = 0.7, 0.25
    times = time_grid(1000, mu=0.0).tolist()
    m, v = 0.0, 1.0
    for t, u in pairwise(times):
        marginal = (1 - t) ** 2 * variance + t * t
        gain = (1 - t) * variance / marginal  # E[x0|x] = mean + gain (x - (1-t) mean)
        b, c = noise_split(t, u, eta, rule) if u > 0 else (0.0, 0.0)
        slope = (1 - u) * gain + b * (1 - (1 - t) * gain) / t
        expected_x0 = mean + gain * (m - (1 - t) * mean)
        m = (1 - u) * expected_x0 + b * (m - (1 - t) * expected_x0) / t
        v = slope * slope * v + c * c

    assert m == pytest.approx(mean, abs=1e-9)
    assert v == pytest.approx(variance, rel=0.01)


@pytest.mark.parametrize("rule", ["ddpm", "heuristic"])
@pytest.mark.parametrize(("t", "u"), [(1.0, 0.6), (0.8, 0.5), (0.5, 0.1), (0.3, 0.29)])
@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_a_jump_from_the_posterior_keeps_the_marginal(
    rule: NoiseRule, t: float, u: float, eta: float
) -> None:
    """If x0 is drawn from p(x0 | x_t), then x_u has the forward marginal: the weights obey b^2 + c^2 = u^2, for every eta."""
    b, c = noise_split(t, u, eta, rule)

    assert b * b + c * c == pytest.approx(u * u, rel=1e-12)
    assert 0.0 <= b <= u
    if eta == 0.0:
        assert (b, c) == pytest.approx((u, 0.0))


def test_full_ddpm_noise_at_t_one_is_pure_renoising() -> None:
    """From t = 1 with eta = 1 Song's rule keeps nothing of the predicted noise."""
    assert noise_split(1.0, 0.6, 1.0, "ddpm") == pytest.approx((0.0, 0.6))


def test_heuristic_rule_keeps_u_squared_over_t() -> None:
    """At eta = 1 the heuristic rule keeps b = u^2 / t of the predicted noise."""
    b, c = noise_split(0.8, 0.4, 1.0, "heuristic")

    assert b == pytest.approx(0.2)
    assert c == pytest.approx(math.sqrt(0.12))


@pytest.mark.parametrize(
    ("schedule", "expected"), [("next", 0.2), ("current", 0.8), (0.0, 0.2), (0.5, 0.5), (1.0, 0.8)]
)
def test_second_time_lies_between_the_step_ends(schedule: str | float, expected: float) -> None:
    """s_k is t_{k+1} for ``next``, t_k for ``current``, and interpolates for a number."""
    options = SamplerOptions(s_schedule=schedule)  # type: ignore[arg-type]

    assert second_time(0.8, 0.2, options, num_steps=4) == pytest.approx(expected)


def test_one_step_uses_the_midpoint() -> None:
    """With one step s = 0.5 (Fig. S.4): at s = 0 the evaluation signal of training is silent."""
    assert second_time(1.0, 0.0, SamplerOptions(), num_steps=1) == 0.5


def test_an_image_does_not_depend_on_its_batch() -> None:
    """The noise of an image comes from its own generator: alone or among others, the same latent."""

    def clean(x: Tensor, t: float, s: float) -> Tensor:
        return x * (1 - t) + 0.1 * s

    def draw(seeds: list[int]) -> Tensor:
        return sample(
            clean,
            generators=generators(seeds),
            shape=SHAPE,
            num_steps=5,
            mu=0.3,
            options=SamplerOptions(guidance=1.0),
            device=CPU,
        )

    assert torch.equal(draw([1, 2, 3])[1], draw([2])[0])


def test_guidance_one_is_the_conditional_prediction_and_energy_is_kept() -> None:
    """Omega = 1 gives y_c; for any omega each sample keeps the norm of y_c."""
    generator = torch.Generator().manual_seed(0)
    conditional = torch.randn(3, *SHAPE, generator=generator)
    unconditional = torch.randn(3, *SHAPE, generator=generator)

    def both(x: Tensor, t: float, s: float) -> tuple[Tensor, Tensor]:
        del x, t, s
        return conditional, unconditional

    assert torch.allclose(guided(both, 1.0)(conditional, 1.0, 0.5), conditional, atol=1e-6)
    norms = guided(both, 5.0)(conditional, 1.0, 0.5).flatten(1).norm(dim=1)
    assert torch.allclose(norms, conditional.flatten(1).norm(dim=1), rtol=1e-5)


@pytest.mark.parametrize(
    "wrong", [{"guidance": 0.5}, {"eta": 1.5}, {"s_schedule": 2.0}, {"guidance": float("nan")}]
)
def test_options_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    """An option outside its range is an error that names it."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SamplerOptions(**wrong)  # type: ignore[arg-type]
