"""Self-E and flow matching where E[x0 | x_t, c] is known: Gaussian and two-point distributions.

Monte-Carlo errors are those of the seeded samples; a tolerance is four of them unless it says otherwise.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from selfe.condition import Condition
from selfe.objectives.batch import TrainingBatch
from selfe.objectives.evaluation import evaluation_direction, own_samples
from selfe.objectives.fake_prompts import fake_loss
from selfe.objectives.flow_matching import FlowMatching
from selfe.objectives.networks import Network, Networks
from selfe.objectives.self_e import SelfE
from selfe.objectives.targets import TargetMode
from selfe.parametrisation import Parametrisation
from tests.unit.selfe import exact
from tests.unit.selfe.exact import C_FAKE, PHI, C, Gaussian, TwoPoint

CONDITIONAL = Gaussian(mean=1.5, variance=0.4)
UNCONDITIONAL = Gaussian(mean=-0.5, variance=2.0)
NUM_ROWS, NUM_ELEMENTS = 4_000, 50


def gaussian_x0(distribution: Gaussian, seed: int = 1) -> Tensor:
    noise = torch.randn(NUM_ROWS, 1, NUM_ELEMENTS, generator=torch.Generator().manual_seed(seed))
    return distribution.mean + math.sqrt(distribution.variance) * noise


def shifted(network: Network, shift: Tensor, slope: Tensor) -> Network:
    """The network plus shift + slope x, two parameters that are zero at the exact solution."""
    return lambda x, t, s, c: network(x, t, s, c) + shift + slope * x


@pytest.mark.parametrize(
    ("kind", "t"),
    # Where the clean sample is predicted, 1/t is cut off at 0.05, so that is its end.
    [("x0", 0.05), ("x0", 0.5), ("x0", 1.0), ("v", 0.0), ("v", 1e-3), ("v", 0.5), ("v", 1.0)],
)
def test_flow_matching_at_the_posterior_mean_costs_the_posterior_variance(
    kind: Parametrisation, t: float
) -> None:
    """At E[x0 | x_t, c] the loss is Var(x0 | x_t) / t^2 = v / ((1 - t)^2 v + t^2), and its gradient vanishes."""
    shift, slope = torch.zeros(2, requires_grad=True).unbind()
    net = shifted(exact.by_prompt({C: CONDITIONAL}, kind), shift, slope)
    loss = (
        FlowMatching()
        .loss(exact.networks(net, kind=kind), exact.batch(gaussian_x0(CONDITIONAL), t=t, s=t))
        .loss
    )
    gradients = torch.autograd.grad(loss, (shift, slope))

    a, n = 1 - t, NUM_ROWS * NUM_ELEMENTS
    variance = a**2 * CONDITIONAL.variance + t**2
    known = CONDITIONAL.variance / variance
    # The mean of n squares of a normal variable has the relative error sqrt(2 / n).
    assert loss.item() == pytest.approx(known, rel=4 * math.sqrt(2 / n))
    # Each gradient is the mean of 2 r or 2 r x_t over n elements, with the residual r of variance `known` (times 1/t for x0).
    error = 2 * math.sqrt(known / n) / (t if kind == "x0" else 1)
    size_of_x = math.sqrt(variance + (a * CONDITIONAL.mean) ** 2)
    assert abs(gradients[0].item()) < 4 * error
    assert abs(gradients[1].item()) < 4 * error * size_of_x


@pytest.mark.parametrize("kind", ["x0", "v"])
@pytest.mark.parametrize("s", [1e-3, 0.1, 0.5, 0.9, 0.999])
def test_delta_is_the_difference_of_two_scores(kind: Parametrisation, s: float) -> None:
    """Delta = s^2 / (1 - s) (score(xhat_s) - score(xhat_s | c)), by Tweedie's formula, for every s < t."""
    data = exact.batch(gaussian_x0(CONDITIONAL), t=1.0, s=s)
    samples = own_samples(data.x0, data)
    net = exact.by_prompt({C: CONDITIONAL, PHI: UNCONDITIONAL}, kind)
    delta = evaluation_direction(exact.networks(net, kind=kind), samples, num_rows=NUM_ROWS)

    x, time = samples.xhat_s.double(), torch.tensor(s, dtype=torch.float64)
    known = time**2 / (1 - time) * (UNCONDITIONAL.score(x, time) - CONDITIONAL.score(x, time))
    assert torch.allclose(delta.double(), known, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("kind", ["x0", "v"])
def test_delta_of_equal_variances_does_not_depend_on_the_sample(kind: Parametrisation) -> None:
    """With equal variances v Delta = (m_0 - m_c) s^2 / ((1 - s)^2 v + s^2), whatever the prediction was."""
    s = torch.tensor([0.001, 0.2, 0.5, 0.8, 0.99])
    data = exact.batch(torch.randn(5, 1, 8, generator=torch.Generator().manual_seed(3)), t=1.0, s=s)
    net = exact.by_prompt({C: Gaussian(mean=2.0, variance=0.5), PHI: Gaussian(mean=-1.0, variance=0.5)}, kind)
    delta = evaluation_direction(exact.networks(net, kind=kind), own_samples(data.x0, data), num_rows=5)

    known = -3.0 * s**2 / ((1 - s) ** 2 * 0.5 + s**2)
    assert torch.allclose(delta, known[:, None, None].expand_as(delta), atol=1e-5)


def constant_prediction(theta: Tensor, evaluation: Network) -> Network:
    """Predicts theta where s < t and evaluates by another network at s = t."""

    def network(x: Tensor, t: Tensor, s: Tensor, c: Condition) -> Tensor:
        return theta + torch.zeros_like(x) if bool((s < t).all()) else evaluation(x, t, s, c)

    return network


def gradient_at(theta: float, target: TargetMode, evaluation: Network, data: TrainingBatch) -> float:
    parameter = torch.tensor(theta, requires_grad=True)
    live = constant_prediction(parameter, evaluation)
    SelfE(target=target).loss(exact.networks(live, evaluation), data).loss.backward()
    assert parameter.grad is not None
    return parameter.grad.item()


def posterior_batch(*, x_t: float, t: float, s: float) -> TrainingBatch:
    """Rows with one x_t, whose x0 is drawn from the posterior given that x_t."""
    a = 1 - t
    variance = CONDITIONAL.variance * t**2 / (a**2 * CONDITIONAL.variance + t**2)
    mean = CONDITIONAL(torch.tensor(x_t), torch.tensor(t)).item()
    x0 = gaussian_x0(Gaussian(mean=mean, variance=variance))
    return exact.batch(x0, t=t, s=s, eps=(x_t - a * x0) / t)


@pytest.mark.parametrize("target", ["convex", "eq16"])
@pytest.mark.parametrize(("t", "s"), [(0.5, 0.2), (0.7, 0.2), (0.7, 0.5), (0.9, 0.6)])
def test_the_fixed_point_is_the_posterior_mean_moved_along_delta(
    target: TargetMode, t: float, s: float
) -> None:
    """The gradient over all x0 and noises of one x_t vanishes at xhat0 = E[x0 | x_t, c] - lambda E[Delta(xhat0)]."""
    x_t, lam = 0.8, t / (1 - t) - s / (1 - s)
    data = posterior_batch(x_t=x_t, t=t, s=s)
    evaluation = exact.by_prompt({C: CONDITIONAL, PHI: UNCONDITIONAL})
    # The gradient is affine in the prediction, as Delta is: two values give its zero.
    at_zero, at_one = (gradient_at(theta, target, evaluation, data) for theta in (0.0, 1.0))
    found = at_zero / (at_zero - at_one)

    # E[Delta(theta)] = slope theta + offset, since E[xhat_s] = (1 - s) theta.
    time = torch.tensor(s)
    offset, end = (
        (UNCONDITIONAL(x, time) - CONDITIONAL(x, time)).item()
        for x in (torch.tensor(0.0), torch.tensor(1 - s))
    )
    slope = end - offset
    mean = CONDITIONAL(torch.tensor(x_t), torch.tensor(t)).item()
    # Errors: x0 has the posterior's deviation, Delta that of the fresh noise, s slope / (1 - s).
    deviation = t * math.sqrt(CONDITIONAL.variance / ((1 - t) ** 2 * CONDITIONAL.variance + t**2))
    error = math.hypot(deviation, lam * s * slope / (1 - s)) / math.sqrt(NUM_ROWS * NUM_ELEMENTS)
    known = (mean - lam * offset) / (1 + lam * slope)
    tolerance = 4 * error / (1 + lam * slope)
    assert found == pytest.approx(known, abs=tolerance)
    assert abs(known - mean) > 5 * tolerance


def test_two_points_have_a_tanh_for_their_mean() -> None:
    """At a tanh(a (1 - t) x / t^2) the loss of x0 = +-a is the mean of a^2 sech^2 / t^2, and its gradient vanishes."""
    size, t, n = 1.3, 0.6, NUM_ROWS * NUM_ELEMENTS
    sign = torch.randn(NUM_ROWS, 1, NUM_ELEMENTS, generator=torch.Generator().manual_seed(5)).sign()
    shift, slope = torch.zeros(2, requires_grad=True).unbind()
    net = shifted(exact.by_prompt({C: TwoPoint(size=size)}), shift, slope)
    loss = FlowMatching().loss(exact.networks(net), exact.batch(size * sign, t=t, s=t)).loss
    gradients = torch.autograd.grad(loss, (shift, slope))

    x = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    density = torch.exp(-(((x - (1 - t) * size) / t) ** 2) / 2) / (
        t * math.sqrt(2 * math.pi)
    )  # given x0 = +a
    variance = size**2 / torch.cosh(size * (1 - t) * x / t**2) ** 2
    known = torch.trapezoid(density * variance, x).item() / t**2
    # |residual| <= 2 a / t and |x_t| has the deviation sqrt((1 - t)^2 a^2 + t^2) < a: generous bounds of the errors.
    assert loss.item() == pytest.approx(known, abs=4 * (2 * size / t) * math.sqrt(known / n))
    assert abs(gradients[0].item()) < 4 * 2 * math.sqrt(known / n) / t
    assert abs(gradients[1].item()) < 4 * 2 * (2 * size / t) * size / t / math.sqrt(n)


@pytest.mark.parametrize("s", [1e-3, 0.05, 0.5, 0.95, 1 - 1e-6])
def test_delta_between_two_points_is_the_difference_of_two_tanh(s: float) -> None:
    """A prompt that makes +a likelier moves the sample towards +a: Delta <= 0, from 0 at s = 0 to -2 a (p - 1/2) at s = 1."""
    size, p = 1.3, 0.9
    sign = torch.randn(200, 1, 4, generator=torch.Generator().manual_seed(6)).sign()
    data = exact.batch(size * sign, t=1.0, s=s)
    net = exact.by_prompt({C: TwoPoint(size=size, probability=p), PHI: TwoPoint(size=size)})
    samples = own_samples(data.x0, data)
    delta = evaluation_direction(exact.networks(net), samples, num_rows=200)

    z = (1 - samples.s.double().view(-1, 1, 1)) * size * samples.xhat_s.double() / s**2
    known = size * (torch.tanh(z) - torch.tanh(z + math.log(p / (1 - p)) / 2))
    assert torch.allclose(delta.double(), known, atol=1e-5)
    assert (delta <= 0).all()
    if s < 0.01:
        assert (delta == 0).all()
    if s > 0.99:
        assert torch.allclose(delta, torch.tensor(-2 * size * (p - 0.5)), atol=1e-4)


def auxiliary_networks(fake: Gaussian, kind: Parametrisation = "x0") -> Networks:
    net = exact.by_prompt({C: CONDITIONAL, PHI: UNCONDITIONAL, C_FAKE: fake}, kind)
    return exact.networks(net, kind=kind)


@pytest.mark.parametrize("k", [0.0, 0.5, 0.9])
def test_a_fake_branch_that_knows_the_truth_leaves_k_times_the_classifier(k: float) -> None:
    """Where the model's samples are distributed as the data, G(c_fake) = G(c) and Delta is k times the plain one."""
    data = exact.batch(gaussian_x0(CONDITIONAL), t=0.9, s=0.4)
    samples, nets = own_samples(data.x0, data), auxiliary_networks(CONDITIONAL)
    plain = evaluation_direction(nets, samples, num_rows=NUM_ROWS)
    delta = evaluation_direction(nets, samples, num_rows=NUM_ROWS, k=k)

    assert torch.allclose(delta, k * plain, atol=1e-6)


@pytest.mark.parametrize("k", [0.0, 0.5, 0.9, 1.0])
def test_the_auxiliary_direction_adds_the_score_of_the_models_own_samples(k: float) -> None:
    """Delta = s^2 / (1 - s) (k score + (1 - k) score_fake - score_c) (Eq. 13, S.6); at k = 1 the plain one."""
    fake = Gaussian(mean=0.7, variance=0.1)
    data = exact.batch(gaussian_x0(CONDITIONAL), t=0.9, s=0.4)
    samples = own_samples(data.x0, data)
    delta = evaluation_direction(auxiliary_networks(fake), samples, num_rows=NUM_ROWS, k=k)

    x, s = samples.xhat_s, torch.tensor(0.4)
    mixed = k * UNCONDITIONAL.score(x, s) + (1 - k) * fake.score(x, s)
    assert torch.allclose(delta, s**2 / (1 - s) * (mixed - CONDITIONAL.score(x, s)), atol=1e-5)


@pytest.mark.parametrize(("kind", "s"), [("x0", 0.05), ("x0", 0.5), ("v", 1e-3), ("v", 0.5), ("v", 0.99)])
def test_the_fake_branch_learns_the_mean_of_the_models_own_samples(kind: Parametrisation, s: float) -> None:
    """With xhat0 ~ N(m, v) the loss S.8 is v / ((1 - s)^2 v + s^2) at E[xhat0 | xhat_s], with a vanishing gradient."""
    own, n = Gaussian(mean=0.7, variance=0.1), NUM_ROWS * NUM_ELEMENTS
    xhat0 = gaussian_x0(own)
    data = exact.batch(gaussian_x0(CONDITIONAL, seed=2), t=1.0, s=s)
    shift = torch.zeros((), requires_grad=True)
    net = shifted(exact.by_prompt({C_FAKE: own}, kind), shift, torch.zeros(()))
    loss = fake_loss(exact.networks(net, kind=kind), own_samples(xhat0, data), num_rows=NUM_ROWS)
    (gradient,) = torch.autograd.grad(loss, shift)

    known = own.variance / ((1 - s) ** 2 * own.variance + s**2)
    assert loss.item() == pytest.approx(known, rel=4 * math.sqrt(2 / n))
    assert abs(gradient.item()) < 4 * 2 * math.sqrt(known / n) / (s if kind == "x0" else 1)
