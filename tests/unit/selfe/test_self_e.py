from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from selfe.condition import Condition
from selfe.model import ConditionalModel
from selfe.objectives.batch import TrainingBatch
from selfe.objectives.evaluation import at_mean_length, evaluation_direction, own_samples
from selfe.objectives.networks import Networks
from selfe.objectives.self_e import SelfE, self_e_losses
from selfe.objectives.targets import TargetMode, convex_target, energy_preserving
from selfe.parametrisation import Parametrisation
from selfe.path import evaluation_weight, noised, sample_norm
from selfe.times import sample_times
from selfe.training.ema import averaged_copy
from tests.unit.selfe import exact, tiny
from tests.unit.selfe.exact import C_FAKE, PHI, C, Gaussian

MODES: tuple[TargetMode, ...] = get_args(TargetMode)
EVALUATION = {C: Gaussian(mean=1.0, variance=0.5), PHI: Gaussian(mean=-1.0, variance=1.0)}
TIMES = [(0.7, 0.3), (0.9, 0.9), (0.5, 0.1), (0.4, 0.2), (0.6, 0.0)]


def random_batch(*, step: int = 0) -> TrainingBatch:
    t, s = torch.tensor(TIMES).T
    x0 = torch.randn(len(t), 2, 3, generator=torch.Generator().manual_seed(4))
    return exact.batch(x0, t=t, s=s, step=step)


class Weighted:
    """A network of four weights: what each part of the objective multiplies is a weight of its own."""

    def __init__(self) -> None:
        self.data = torch.tensor(0.3, requires_grad=True)
        self.of_prompt = {
            number: torch.tensor(0.1 * number, requires_grad=True) for number in (PHI, C, C_FAKE)
        }

    def __call__(self, x: Tensor, t: Tensor, s: Tensor, c: Condition) -> Tensor:
        if not torch.equal(t, s):
            return self.data * x
        number = int(c.tokens[0, 0])
        return self.of_prompt[number] * x + number


def weighted_networks() -> tuple[Weighted, Weighted, Networks]:
    live, average = Weighted(), Weighted()
    return live, average, exact.networks(live, average)


@pytest.mark.parametrize("mode", MODES)
def test_the_gradient_goes_through_the_prediction_alone(mode: TargetMode) -> None:
    """Nothing flows through xhat_s, x_self, the unconditional branch or the averaged network: the target is constant."""
    live, average, nets = weighted_networks()
    data = random_batch()
    SelfE(target=mode).loss(nets, data).loss.backward()
    assert live.data.grad is not None

    x_t, t, s = noised(data.x0, data.eps, data.t), data.t, data.s
    xhat0 = (live.data * x_t).detach()
    delta = evaluation_direction(nets, own_samples(xhat0, data), num_rows=len(t))
    x_self, lam = xhat0 - delta, (t / (1 - t) - s / (1 - s))[:, None, None]
    weight = torch.tensor(0.3, requires_grad=True)
    target = (data.x0 + lam * x_self) / (1 + lam)
    if mode == "renorm":
        target *= sample_norm(data.x0) / sample_norm(target)
    squares = (weight * x_t - target).square() * (1 + lam if mode == "eq16" else 1.0)
    (squares / t[:, None, None] ** 2).mean().backward()
    assert weight.grad is not None
    assert live.data.grad.item() == pytest.approx(weight.grad.item(), rel=1e-5)
    untouched = [*live.of_prompt.values(), average.data, *average.of_prompt.values()]
    assert all(parameter.grad is None for parameter in untouched)


def test_the_auxiliary_loss_trains_the_fake_branch_alone() -> None:
    """At k = 1, where Delta is the plain one, the term changes the gradient of G(., c_fake) and of nothing else."""
    plain, _, nets = weighted_networks()
    SelfE().loss(nets, random_batch()).loss.backward()
    live, average, nets = weighted_networks()
    SelfE(aux_start=0, aux_weight=1.0).loss(nets, random_batch()).loss.backward()
    assert plain.data.grad is not None
    assert live.data.grad is not None

    assert torch.equal(live.data.grad, plain.data.grad)
    assert plain.of_prompt[C_FAKE].grad is None
    assert live.of_prompt[C_FAKE].grad is not None
    assert live.of_prompt[C].grad is None
    assert live.of_prompt[PHI].grad is None
    assert average.of_prompt[C_FAKE].grad is None


def test_a_batch_is_the_mean_of_its_parts() -> None:
    """Loss and log of the whole are means over equal parts, however the rows with s < t fall on them."""
    t, s = torch.tensor([*TIMES, (0.8, 0.8)]).T
    x0 = torch.randn(len(t), 2, 3, generator=torch.Generator().manual_seed(4))
    whole = exact.batch(x0, t=t, s=s)
    parts = [whole.rows(slice(first, first + 2)) for first in (0, 2, 4)]
    _, _, nets = weighted_networks()
    objective = SelfE(aux_start=0)
    metrics = [objective.loss(nets, part).metrics for part in parts]

    for name, value in objective.loss(nets, whole).metrics.items():
        assert value.item() == pytest.approx(sum(part[name].item() for part in metrics) / 3, rel=1e-5)


def test_rows_of_a_batch_are_a_batch() -> None:
    """Every tensor with a row for each sample is cut, the null prompt and the numbers of the whole batch stay."""
    data = replace(random_batch(step=7), mu=0.4, c=exact.prompts(torch.arange(5)))
    data = replace(data, dropped=torch.tensor([False, True, False, False, True]))
    part = data.rows(slice(1, 4))

    assert part.c_fake is not None
    assert part.c.tokens.flatten().tolist() == [1, 2, 3]
    assert part.dropped.tolist() == [True, False, False]
    for name in ("x0", "eps", "t", "s", "fresh_noise"):
        assert torch.equal(getattr(part, name), getattr(data, name)[1:4]), name
    assert len(part.c.mask) == len(part.c_fake.tokens) == 3
    assert (part.phi, part.mu, part.step) == (data.phi, 0.4, 7)
    assert replace(data, c_fake=None).rows(slice(1, 4)).c_fake is None


def test_deltas_of_one_length_keep_their_directions_and_their_mean_norm() -> None:
    """Rows with a Delta get the mean norm of those rows, whatever theirs was; rows without one stay zero."""
    sizes = torch.tensor([0.0, 1e-6, 1.0, 0.0, 5e3])
    delta = sizes[:, None, None] * torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(1))
    scaled, there = at_mean_length(delta), sizes > 0
    norms, before = sample_norm(scaled).flatten(), sample_norm(delta).flatten()

    assert torch.equal(norms > 0, there)
    assert torch.allclose(norms[there], before[there].mean())
    assert torch.allclose(
        scaled[there] / norms[there, None, None], delta[there] / before[there, None, None], atol=1e-6
    )


def test_a_batch_without_any_delta_stays_zero() -> None:
    """With nothing to take a mean of there is no division by zero: zeros in, zeros out."""
    assert torch.equal(at_mean_length(torch.zeros(3, 2, 4)), torch.zeros(3, 2, 4))


@pytest.mark.parametrize("mode", MODES)
def test_equal_deltas_change_the_target_and_nothing_else(mode: TargetMode) -> None:
    """The loss is that of the plain objective whose Delta was scaled; without s < t both are flow matching's."""
    data, network = random_batch(), exact.by_prompt(EVALUATION)
    nets = exact.networks(network)
    xhat0 = network(noised(data.x0, data.eps, data.t), data.t, data.s, data.c)
    delta = evaluation_direction(nets, own_samples(xhat0, data), num_rows=len(data.t))
    expected = self_e_losses(xhat0, xhat0 - at_mean_length(delta), data, mode=mode, kind="x0").mean()
    plain, equal = SelfE(target=mode), SelfE(target=mode, equal_delta=True)
    found = equal.loss(nets, data)

    assert torch.equal(found.loss, expected)
    assert found.loss != plain.loss(nets, data).loss
    norms = sample_norm(delta).flatten()
    shares = (norms > 0) * norms[norms > 0].mean() / sample_norm(data.x0).flatten()
    assert found.metrics["delta_ratio"].item() == pytest.approx(shares.mean().item())
    same = replace(data, s=data.t)
    assert torch.equal(equal.loss(nets, same).loss, plain.loss(nets, same).loss)


def test_a_share_of_noise_moves_the_times_alone() -> None:
    """The objective's times are ``sample_times`` at its annealing and share; without one they are the paper's, bit for bit."""

    def drawn(objective: SelfE) -> tuple[Tensor, Tensor]:
        return objective.times(200, mu=0.4, step=30, generator=torch.Generator().manual_seed(6))

    def expected(**option: float) -> tuple[Tensor, Tensor]:
        return sample_times(200, mu=0.4, tau=0.3, generator=torch.Generator().manual_seed(6), **option)

    for objective, times in (
        (SelfE(anneal_steps=100), expected()),
        (SelfE(anneal_steps=100, noise_share=0.0), expected()),
        (SelfE(anneal_steps=100, noise_share=0.2), expected(noise_share=0.2)),
    ):
        assert all(map(torch.equal, drawn(objective), times))
    assert (drawn(SelfE(noise_share=0.2))[0] == 1.0).any()


def test_which_weights_evaluate() -> None:
    """The prompt and the fake prompt are asked of the averaged weights, the null prompt of the live ones (S.2)."""
    live, average, nets = weighted_networks()
    data = random_batch()
    samples = own_samples(data.x0, data)
    delta = evaluation_direction(nets, samples, num_rows=len(data.t), k=0.9)
    with torch.no_grad():
        for network, number in ((live, C), (live, C_FAKE), (average, PHI)):
            network.of_prompt[number].fill_(torch.nan)

    assert torch.equal(delta, evaluation_direction(nets, samples, num_rows=len(data.t), k=0.9))
    assert delta.isfinite().all()


@pytest.mark.parametrize("parametrisation", ["x0", "v"])
def test_there_is_no_signal_from_noise_to_data(parametrisation: Parametrisation) -> None:
    """At (t = 1, s = 0) Delta is exactly zero, for any network, and all of the target is the prediction."""
    torch.manual_seed(0)
    net = ConditionalModel(tiny.config(parametrisation))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    source = tiny.RandomLatents(3).batch(0, 0)
    data = exact.batch(source.latents, t=1.0, s=0.0)
    data = replace(data, c=source.c, phi=tiny.RandomLatents().null, c_fake=source.c)
    nets = tiny.networks(net, averaged_copy(net))

    assert (evaluation_direction(nets, own_samples(data.x0, data), num_rows=3) == 0).all()
    assert (evaluation_direction(nets, own_samples(data.x0, data), num_rows=3, k=0.5) == 0).all()
    assert SelfE().loss(nets, data).metrics["delta_ratio"] == 0
    # The same prediction is its own convex target at beta = 1: no loss is left.
    assert SelfE(target="convex").loss(nets, data).loss < 1e-10
    late = own_samples(data.x0, data, evaluation_time=0.5)
    assert (evaluation_direction(nets, late, num_rows=3).flatten(1).norm(dim=1) > 0).all()


def test_an_evaluation_time_moves_the_evaluation_and_nothing_else() -> None:
    """The samples are noised to max(s, value) and asked there; the network's (t, s) and the target's lambda stay."""
    told: list[tuple[int, Tensor, Tensor]] = []
    network = exact.by_prompt(EVALUATION)

    def recording(x: Tensor, t: Tensor, s: Tensor, c: Condition) -> Tensor:
        told.append((len(x), t, s))
        return network(x, t, s, c)

    data = random_batch()
    SelfE(evaluation_time=0.25).loss(exact.networks(recording), data)
    expected = torch.tensor([0.3, 0.25, 0.25, 0.25])  # rows with s < t of TIMES
    samples = own_samples(data.x0, data, evaluation_time=0.25)

    assert torch.equal(told[0][1], data.t)
    assert torch.equal(told[0][2], data.s)
    assert all(torch.equal(t, expected) and torch.equal(s, expected) for _, t, s in told[1:])
    assert torch.equal(
        samples.xhat_s, noised(data.x0[samples.rows], data.fresh_noise[samples.rows], expected)
    )
    # Below every s the option changes no bit.
    late = replace(data, s=data.s.clamp_min(0.25).minimum(data.t))
    losses = [SelfE(evaluation_time=value).loss(exact.networks(network), late).loss for value in (None, 0.2)]
    assert torch.equal(losses[0], losses[1])


def test_the_log_tells_sizes_of_direction_and_target() -> None:
    """Ratios to ||x0|| are means over all rows; beta is above 0.9 for the share of rows with lambda > 9."""
    data = replace(random_batch(), t=torch.tensor([0.95, 0.9, 0.5, 0.97, 0.6]))
    network = exact.by_prompt(EVALUATION)
    metrics = SelfE().loss(exact.networks(network), data).metrics

    xhat0 = network(noised(data.x0, data.eps, data.t), data.t, data.s, data.c)
    delta = evaluation_direction(exact.networks(network), own_samples(xhat0, data), num_rows=5)
    target = convex_target(data.x0, xhat0 - delta, evaluation_weight(data.t, data.s))
    norms = [x.flatten(1).norm(dim=1) for x in (delta, target, data.x0)]
    assert metrics["delta_ratio"].item() == pytest.approx((norms[0] / norms[2]).mean().item())
    assert metrics["target_ratio"].item() == pytest.approx((norms[1] / norms[2]).mean().item())
    assert metrics["high_beta_share"].item() == pytest.approx(2 / 5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["x0", "v"])
def test_bf16_stays_inside_the_network(mode: TargetMode, kind: Parametrisation) -> None:
    """Under bf16 autocast the loss is bit for bit what float32 arithmetic makes of the network's bf16 outputs."""
    network = exact.by_prompt({**EVALUATION, C_FAKE: Gaussian(mean=0.5, variance=0.2)}, kind)

    def in_bf16(x: Tensor, t: Tensor, s: Tensor, c: Condition) -> Tensor:
        assert x.dtype is torch.float32
        return network(x, t, s, c).bfloat16()

    objective, nets = SelfE(target=mode, aux_start=0), exact.networks(in_bf16, kind=kind)
    expected = objective.loss(nets, random_batch())
    with torch.autocast("cpu", torch.bfloat16):
        found = objective.loss(nets, random_batch())

    assert found.loss.dtype is torch.float32
    assert torch.equal(found.loss, expected.loss)
    assert {name: value.item() for name, value in found.metrics.items()} == {
        name: value.item() for name, value in expected.metrics.items()
    }


def test_the_energy_is_that_of_the_whole_sample() -> None:
    """The energy-preserving target has one factor for a sample, and all tokens share it (Eq. 19-20)."""
    generator = torch.Generator().manual_seed(2)
    x0, mixed = torch.randn(2, 5, 4, 64, generator=generator)
    target = energy_preserving(3.0 * mixed, x0)
    factors = target / mixed

    assert torch.allclose(factors, factors[:, :1, :1].expand_as(factors), rtol=1e-5)
    assert torch.allclose(sample_norm(target), sample_norm(x0), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"target": "eq17"}, "target 'eq17'"),
        ({"anneal_steps": -1}, "anneal_steps -1"),
        ({"evaluation_time": 0.0}, "evaluation_time 0.0"),
        ({"evaluation_time": 1.0}, "evaluation_time 1.0"),
        ({"noise_share": -0.1}, "noise_share -0.1"),
        ({"noise_share": 1.1}, "noise_share 1.1"),
        ({"aux_start": -1}, "aux_start -1"),
        ({"aux_start": 0, "aux_weight": 1.1}, "aux_weight 1.1"),
        ({"aux_weight": 0.5}, "Give aux_start too"),
    ],
)
def test_options_without_a_meaning_are_refused(options: dict[str, Any], named: str) -> None:
    """A value outside its range, or one that would change nothing, is an error that names it."""
    with pytest.raises(ValueError, match=named):
        SelfE(**options)


def test_fake_prompts_are_asked_for_and_missed() -> None:
    """An objective with the auxiliary term asks for c_fake from the first step on, and says so where it is missing."""
    objective = SelfE(aux_start=10)
    net = exact.by_prompt(EVALUATION)

    assert objective.needs_fake_prompts
    assert not SelfE().needs_fake_prompts
    with pytest.raises(ValueError, match="carries no fake prompts"):
        objective.loss(exact.networks(net), replace(random_batch(step=10), c_fake=None))
