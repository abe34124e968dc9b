"""Laws of Self-E over all pairs of times, the ends included."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from selfe.objectives.batch import TrainingBatch
from selfe.objectives.flow_matching import FlowMatching
from selfe.objectives.self_e import SelfE, self_e_losses
from selfe.objectives.targets import TargetMode, convex_target, energy_preserving
from selfe.parametrisation import MIN_T_X0, Parametrisation
from selfe.path import MAX_LAMBDA, bounded_lambda, evaluation_weight, sample_norm
from tests.unit.selfe import exact
from tests.unit.selfe.exact import C_FAKE, PHI, C, Gaussian

LAW = settings(derandomize=True, deadline=None, max_examples=60)
ENDS = [0.0, 1e-30, 1e-6, 1e-3, 0.5, 1 - 2.0**-24, 1.0]
times = st.sampled_from(ENDS) | st.floats(0.0, 1.0, width=32)
pairs = st.tuples(times, times).map(lambda pair: (max(pair), min(pair))) | times.map(lambda t: (t, t))
"""(t, s) with 0 <= s <= t <= 1."""
modes = st.sampled_from(["renorm", "convex", "eq16"])
kinds = st.sampled_from(["x0", "v"])
seeds = st.integers(0, 2**31)
NETWORK = {
    C: Gaussian(mean=1.0, variance=0.5),
    PHI: Gaussian(mean=-1.0, variance=1.0),
    C_FAKE: Gaussian(mean=0.5, variance=0.2),
}


def batch(t: float, s: float, seed: int) -> TrainingBatch:
    x0 = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(seed))
    return exact.batch(x0, t=t, s=s, seed=seed + 1)


def output_gradient(mode: TargetMode, kind: Parametrisation, data: TrainingBatch, seed: int) -> Tensor:
    """The gradient of a loss with respect to the network's output, for a random output and x_self."""
    noise = torch.randn(2, *data.x0.shape, generator=torch.Generator().manual_seed(seed + 2))
    output, x_self = noise.unbind()
    output.requires_grad_()
    losses = self_e_losses(output, x_self, data, mode=mode, kind=kind)
    losses.sum().backward()
    assert output.grad is not None
    return output.grad


@LAW
@given(pairs)
def test_beta_is_lambda_over_one_plus_lambda(pair: tuple[float, float]) -> None:
    """Beta lies in [0, 1], is lambda / (1 + lambda) wherever lambda is finite, 1 at t = 1 > s and 0 at s = t."""
    t, s = (torch.tensor([time], dtype=torch.float64) for time in pair)
    beta = evaluation_weight(t, s).item()
    single = evaluation_weight(t.float(), s.float()).item()

    assert 0 <= beta <= 1
    assert single == pytest.approx(beta, rel=1e-5, abs=1e-30)
    if t < 1:
        lam = (t / (1 - t) - s / (1 - s)).item()
        assert beta == pytest.approx(lam / (1 + lam), rel=1e-6, abs=1e-9)
    if s == t:
        assert beta == 0
    elif t == 1:
        assert beta == 1


@LAW
@given(pairs)
def test_lambda_is_bounded_and_exact_below_the_bound(pair: tuple[float, float]) -> None:
    """The bounded lambda is min(lambda, MAX_LAMBDA), in float32 too, also where lambda is infinite or 0/0."""
    t, s = (torch.tensor([time], dtype=torch.float32) for time in pair)
    found = bounded_lambda(t, s).item()

    if s == t:
        assert found == 0
    elif t == 1:
        assert found == MAX_LAMBDA
    else:
        t, s = t.double(), s.double()
        lam = ((t - s) / ((1 - t) * (1 - s))).item()
        assert found == pytest.approx(min(lam, MAX_LAMBDA), rel=1e-5, abs=1e-30)


@LAW
@given(pairs, seeds)
def test_the_energy_preserving_target_keeps_the_norm_of_the_data(
    pair: tuple[float, float], seed: int
) -> None:
    """Its norm is that of x0 for every pair, whatever scale the mixture had, and it is x0 itself at s = t."""
    data = batch(*pair, seed)
    x_self = 3.0 * torch.randn(data.x0.shape, generator=torch.Generator().manual_seed(seed + 2))
    mixed = convex_target(data.x0, x_self, evaluation_weight(data.t, data.s))
    target = energy_preserving(mixed, data.x0)

    assert torch.allclose(sample_norm(target), sample_norm(data.x0), rtol=1e-5)
    assert torch.allclose(energy_preserving(7.0 * mixed, data.x0), target, rtol=1e-5, atol=1e-6)
    if pair[0] == pair[1]:
        assert torch.equal(target, data.x0)


@LAW
@given(pairs, kinds, seeds)
def test_eq16_has_one_plus_lambda_times_the_gradient_of_convex(
    pair: tuple[float, float], kind: Parametrisation, seed: int
) -> None:
    """Wherever lambda is below its bound; above it, and at t = 1, the gradient is finite."""
    data = batch(*pair, seed)
    lam = bounded_lambda(data.t, data.s)
    found = output_gradient("eq16", kind, data, seed)
    if (lam < MAX_LAMBDA).all():
        expected = (1 + lam)[:, None, None] * output_gradient("convex", kind, data, seed)
        # For v the target itself grows as 1/t, so its rounding does, and at t = 0 it is cut off.
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-3 if kind == "v" else 1e-4 / MIN_T_X0)

    assert found.isfinite().all()


@LAW
@given(pairs, modes, kinds, seeds, st.sampled_from([None, 0.2]))
def test_loss_and_gradient_are_finite(
    pair: tuple[float, float],
    mode: TargetMode,
    kind: Parametrisation,
    seed: int,
    evaluation_time: float | None,
) -> None:
    """For every mode and parametrisation and all times, also t -> 0, t -> 1, s = 0 and s = t, with the auxiliary term."""
    shift = torch.zeros((), requires_grad=True)
    network = exact.by_prompt(NETWORK, kind)
    nets = exact.networks(lambda x, t, s, c: network(x, t, s, c) + shift, kind=kind)
    objective = SelfE(target=mode, evaluation_time=evaluation_time, aux_start=0)
    result = objective.loss(nets, batch(*pair, seed))
    result.loss.backward()
    assert shift.grad is not None

    assert shift.grad.isfinite()
    assert all(value.isfinite() for value in result.metrics.values())


@LAW
@given(times, modes, kinds, seeds)
def test_at_s_equal_t_every_mode_is_flow_matching(
    t: float, mode: TargetMode, kind: Parametrisation, seed: int
) -> None:
    """Beta and lambda are 0 there: the loss is that of flow matching, bit for bit."""
    nets, data = exact.networks(exact.by_prompt(NETWORK, kind), kind=kind), batch(t, t, seed)

    assert torch.equal(SelfE(target=mode).loss(nets, data).loss, FlowMatching().loss(nets, data).loss)
