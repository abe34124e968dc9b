from __future__ import annotations

import pytest
import torch

from selfe.model import ConditionalModel
from selfe.objectives.batch import TrainingBatch
from selfe.objectives.evaluation import evaluation_direction, own_samples
from selfe.objectives.flow_matching import FlowMatching
from selfe.objectives.self_e import SelfE
from selfe.parametrisation import Parametrisation
from selfe.text import NULL, PAD
from selfe.training.ema import averaged_copy
from tests.unit.selfe import tiny


def batch(*, s_equals_t: bool, rows: int = 6) -> TrainingBatch:
    generator = torch.Generator().manual_seed(1)
    t = torch.rand(rows, generator=generator)
    s = t.clone() if s_equals_t else t * torch.rand(rows, generator=generator)
    dropped = torch.zeros(rows, dtype=torch.bool)
    dropped[0] = True
    return TrainingBatch(
        x0=torch.randn(rows, 4, 64, generator=generator),
        eps=torch.randn(rows, 4, 64, generator=generator),
        t=t,
        s=s,
        c=tiny.condition(torch.randint(3, 10, (rows, 4), generator=generator)),
        phi=tiny.condition(torch.tensor([[NULL, PAD, PAD, PAD]])),
        dropped=dropped,
        fresh_noise=torch.randn(rows, 4, 64, generator=generator),
    )


def model(parametrisation: Parametrisation) -> ConditionalModel:
    torch.manual_seed(0)
    built = ConditionalModel(tiny.config(parametrisation))
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return built


@pytest.mark.parametrize("parametrisation", ["x0", "v"])
def test_self_e_at_s_equal_t_is_flow_matching_exactly(parametrisation: Parametrisation) -> None:
    """With s = t everywhere the Self-E loss and its gradients are those of flow matching, bit for bit."""
    a, b = model(parametrisation), model(parametrisation)
    loss_a = SelfE().loss(tiny.networks(a, averaged_copy(a)), batch(s_equals_t=True)).loss
    loss_b = FlowMatching().loss(tiny.networks(b, b), batch(s_equals_t=True)).loss
    loss_a.backward()
    loss_b.backward()

    assert torch.equal(loss_a, loss_b)
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        assert (p.grad is None and q.grad is None) or torch.equal(p.grad, q.grad)  # type: ignore[arg-type]


def test_flow_matching_is_the_plain_velocity_loss() -> None:
    """For v-prediction the loss is mean ||V - (eps - x0)||^2 (Eq. 7 with w = 1/t^2)."""
    net, data = model("v"), batch(s_equals_t=True)
    x_t = (1 - data.t[:, None, None]) * data.x0 + data.t[:, None, None] * data.eps
    velocity = net(x_t, data.t, data.t, data.c)

    expected = (velocity - (data.eps - data.x0)).square().mean()
    assert torch.allclose(FlowMatching().loss(tiny.networks(net, net), data).loss, expected, rtol=1e-5)


def test_no_evaluation_where_s_equals_t_or_the_caption_was_dropped() -> None:
    """Delta is exactly zero on rows without an evaluation, and not on the others."""
    net, data = model("x0"), batch(s_equals_t=False)
    samples = own_samples(data.x0, data)
    delta = evaluation_direction(tiny.networks(net, averaged_copy(net)), samples, num_rows=len(data.x0))

    assert (delta[0] == 0).all()
    assert (delta[1:].flatten(1).norm(dim=1) > 0).all()


def test_the_evaluation_sends_no_gradient_through_itself() -> None:
    """The target is constant: the gradient of the loss at s < t flows through xhat0 alone."""
    net, data = model("x0"), batch(s_equals_t=False)
    average = averaged_copy(net)
    SelfE().loss(tiny.networks(net, average), data).loss.backward()

    assert all(parameter.grad is None for parameter in average.parameters())
    assert any(parameter.grad is not None for parameter in net.parameters())
