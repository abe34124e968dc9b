from __future__ import annotations

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
