from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from selfe.times import anneal, mu_of_length, sample_times, time_grid, warp
from selfe.training.optim import learning_rate


@pytest.mark.parametrize(
    ("length", "expected"),
    # Self-E S.12: 0.5 at L = 512, 1.15 at L = 4096; the others follow from the line.
    [(512, 0.5), (4096, 1.15), (1024, 0.593), (256, 0.454), (64, 0.419)],
)
def test_mu_lies_on_the_papers_line(length: int, expected: float) -> None:
    """mu(L) is linear through the paper's two anchors and goes on below them."""
    assert mu_of_length(length) == pytest.approx(expected, abs=5e-4)


@given(st.floats(-1.5, 1.5), st.integers(1, 60))
@settings(deadline=None, derandomize=True)
def test_a_grid_falls_from_one_to_zero(mu: float, num_steps: int) -> None:
    """N steps have N + 1 times, from exactly 1 to exactly 0, strictly falling, for every warp."""
    times = time_grid(num_steps, mu=mu)

    assert len(times) == num_steps + 1
    assert times[0] == 1.0
    assert times[-1] == 0.0
    assert (times.diff() < 0).all()


@given(st.floats(-1.0, 1.0))
@settings(deadline=None, derandomize=True)
def test_warps_compose_by_adding_mu(mu: float) -> None:
    """warp(warp(t, a), b) = warp(t, a + b): the warp shifts the logit of t by mu."""
    t = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)

    assert torch.allclose(warp(warp(t, mu), 0.3), warp(t, mu + 0.3))
    assert torch.allclose(torch.logit(warp(t, mu)), torch.logit(t) + mu)


@pytest.mark.parametrize("tau", [0.0, 0.4, 1.0])
def test_times_of_training(tau: float) -> None:
    """0 <= (1 - tau) t <= s <= t <= 1, and half of the rows have s = t (all of them while tau = 0)."""
    t, s = sample_times(20_000, mu=0.4, tau=tau, generator=torch.Generator().manual_seed(0))

    assert ((t > 0) & (t < 1) & (s <= t) & (s >= (1 - tau) * t - 1e-6)).all()
    # Binomial(20000, 1/2): the deviation of the share is 0.0035; four of them.
    assert (s == t).float().mean().item() == pytest.approx(1.0 if tau == 0 else 0.5, abs=0.0142)


def test_a_share_of_the_rows_trains_where_samplers_start() -> None:
    """The share has t = 1 exactly, with the same s as any other t: equal for half, else uniform on [1 - tau, 1]."""
    generator = torch.Generator().manual_seed(0)
    t, s = sample_times(20_000, mu=0.4, tau=0.5, generator=generator, noise_share=0.15)
    at_noise = t == 1.0

    assert ((s >= 0) & (s <= t) & (t <= 1)).all()
    # Four standard deviations of a binomial share: of 20000 rows at 0.15, and of 3000 at 1/2.
    assert at_noise.float().mean().item() == pytest.approx(0.15, abs=0.0101)
    assert (s == t)[at_noise].float().mean().item() == pytest.approx(0.5, abs=0.0366)
    # The mean of U(1/2, 1) over 1500 rows: 0.144 / sqrt(1500), four of them.
    assert s[at_noise & (s < t)].mean().item() == pytest.approx(0.75, abs=0.015)


@pytest.mark.parametrize(("noise_share", "all_at_noise"), [(0.0, False), (1.0, True)])
def test_the_ends_of_the_share_of_noise(*, noise_share: float, all_at_noise: bool) -> None:
    """At 0 the times and all later draws are bit for bit those without the option; at 1 every row has t = 1."""
    with_option, without = (torch.Generator().manual_seed(3) for _ in range(2))
    found = sample_times(500, mu=0.4, tau=0.5, generator=with_option, noise_share=noise_share)
    plain = sample_times(500, mu=0.4, tau=0.5, generator=without)

    same = torch.equal(found.t, plain.t) and torch.equal(found.s, plain.s)
    assert same != all_at_noise
    assert torch.equal(with_option.get_state(), without.get_state()) != all_at_noise
    assert bool((found.t == 1.0).all()) == all_at_noise


def test_annealing_is_linear_and_stays() -> None:
    """Tau is 0 up to the start, 1/2 halfway, 1 from the end on."""
    assert [anneal(step, 10) for step in (-3, 0, 5, 10, 99)] == [0.0, 0.0, 0.5, 1.0, 1.0]


def test_learning_rate_rises_and_falls() -> None:
    """Linear to the peak over the warm-up, then linear to the final rate."""
    rates = [
        learning_rate(step, peak=1.0, final=0.0, warmup_steps=10, total_steps=110)
        for step in (0, 9, 10, 60, 110)
    ]

    assert rates == pytest.approx([0.1, 1.0, 1.0, 0.5, 0.0])


@pytest.mark.parametrize("decay_start", [0, 7, 10])
def test_a_decay_that_begins_in_the_warm_up_follows_it(decay_start: int) -> None:
    """Up to the end of the warm-up decay_start changes no rate: they are those of the paper's schedule."""
    for step in range(120):
        rate = learning_rate(
            step, peak=1.0, final=0.1, warmup_steps=10, total_steps=110, decay_start=decay_start
        )
        fallen = min(1.0, (step - 10) / 100)

        assert rate == pytest.approx((step + 1) / 10 if step < 10 else 1.0 - 0.9 * fallen)


def test_a_late_decay_leaves_the_rate_at_its_peak_until_then() -> None:
    """Warm-up, constant up to decay_start and not a step further, linear to the final rate; nowhere a jump."""
    rates = [
        learning_rate(step, peak=1.0, final=0.1, warmup_steps=10, total_steps=110, decay_start=60)
        for step in range(116)
    ]
    falls = [before - after for before, after in pairwise(rates)]

    assert rates[9:61] == [1.0] * 52
    assert falls[60:110] == pytest.approx([0.9 / 50] * 50)
    assert rates[110:] == pytest.approx([0.1] * 6)


def test_trainings_of_any_length_share_their_rates_up_to_the_decay() -> None:
    """Neither the length of the training nor the final rate is felt before decay_start, bit for bit; both are after it."""
    short, long = (
        [
            learning_rate(
                step, peak=3e-4, final=final, warmup_steps=10, total_steps=total, decay_start=decay_start
            )
            for step in range(63)
        ]
        for final, total, decay_start in ((0.0, 70, 60), (1e-5, 900, 62))
    )

    assert short[:61] == long[:61]
    assert short[61] < long[61] == 3e-4
    assert [
        learning_rate(step, peak=3e-4, final=0.0, warmup_steps=10, total_steps=60, decay_start=60)
        for step in range(60)
    ] == short[:60]
