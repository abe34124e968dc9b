from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from selfe.condition import Condition
from selfe.model import ConditionalModel
from selfe.objectives.flow_matching import FlowMatching
from selfe.objectives.meanflow import (
    AverageVelocity,
    Derivative,
    MeanFlow,
    adaptive_weight,
    derivative_by_difference,
    derivative_by_jvp,
)
from selfe.objectives.networks import Networks
from selfe.parametrisation import Parametrisation
from selfe.path import expand, noised
from selfe.times import sample_t
from tests.unit.selfe import frozen, tiny
from tests.unit.selfe.affine_flow import AffineFlow, batch, exact
from tests.unit.selfe.two_points import one_step_of_flow_matching, share_near, trained

T = torch.tensor([1.0, 1.0, 1.0, 0.9, 0.5, 0.5, 0.3, 0.04, 0.002])
S = torch.tensor([0.0, 0.5, 0.9995, 0.0, 0.1, 0.4999, 0.0, 0.01, 0.0])
"""Pairs with s < t, at both ends and next to each other."""
METHODS: tuple[Derivative, ...] = ("jvp", "difference")


def derivative_of(
    u: AverageVelocity, x_t: Tensor, v: Tensor, t: Tensor, s: Tensor, how: Derivative
) -> Tensor:
    if how == "jvp":
        return derivative_by_jvp(u, x_t, v, t)
    return derivative_by_difference(u, x_t, v, t, s, step=MeanFlow().difference_step)


@pytest.mark.parametrize("how", METHODS)
def test_the_derivative_is_the_analytic_one(how: Derivative) -> None:
    """Of u = (x - m) / t it is v/t - (x - m)/t^2, along any v."""
    x = torch.tensor([-1.0, 0.2, 0.9, 2.0]).view(4, 1, 1)
    v = torch.tensor([0.3, -2.0, 1.0, 0.0]).view(4, 1, 1)
    t = torch.tensor([1.0, 0.8, 0.3, 0.1])
    du = derivative_of(lambda x, t: (x - 0.7) / expand(t, x), x, v, t, torch.zeros(4), how)

    assert torch.allclose(du, v / expand(t, x) - (x - 0.7) / expand(t, x).square(), rtol=2e-3, atol=2e-3)


def test_differences_stay_between_s_and_1() -> None:
    """The network is never asked for a time before s or after 1, which training shows it nowhere."""
    asked: list[Tensor] = []

    def u(x: Tensor, t: Tensor) -> Tensor:
        asked.append(t)
        return x

    derivative_by_difference(u, torch.zeros(9, 1, 1), torch.ones(9, 1, 1), T, S, step=0.1)
    late, early = asked
    assert torch.equal(late, (T + 0.1).clamp_max(1.0))
    assert torch.equal(early, torch.maximum(T - 0.1, S))


@pytest.mark.parametrize("how", METHODS)
@pytest.mark.parametrize("sd", [0.0, 0.5, 2.0])
def test_the_exact_average_velocity_is_its_own_target(sd: float, how: Derivative) -> None:
    """v(x_t, t) - (t - s) du/dt = u along the flow's own velocity (the MeanFlow identity), at both ends too."""
    flow = AffineFlow(sd=sd)
    x = noised(torch.full((9, 1, 1), flow.m), torch.linspace(-2, 2, 9).view(9, 1, 1), T)
    v = flow.average_velocity(x, T, T)
    du = derivative_of(lambda x, t: flow.average_velocity(x, t, S), x, v, T, S, how)

    target = v - expand(T - S, x) * du
    assert torch.allclose(target, flow.average_velocity(x, T, S), rtol=1e-3, atol=3e-3)


@pytest.mark.parametrize("how", METHODS)
@pytest.mark.parametrize("kind", ["x0", "v"])
def test_one_point_is_learned_without_error(kind: Parametrisation, how: Derivative) -> None:
    """Data at one point: the sample's velocity is the flow's, and the loss of the exact network vanishes at all times."""
    networks, _, _ = exact(AffineFlow(sd=0.0), kind)
    data = batch(torch.full((9, 2, 3), 0.7), T, S)
    result = MeanFlow(derivative=how).loss(networks, data)

    assert result.metrics["velocity_error"] < 1e-5
    assert (
        result.metrics["velocity_error"] < 1e-4 * 6 * 2
    )  # against a mean square of the velocity of about 1.5


@pytest.mark.parametrize("kind", ["x0", "v"])
def test_the_exact_network_is_stationary_and_the_velocity_is_not(kind: Parametrisation) -> None:
    """For x0 ~ N(m, sd^2) the expected gradient vanishes at the exact u, and not at a network that ignores s."""
    rows, flow = 40_000, AffineFlow(sd=0.5)
    generator = torch.Generator().manual_seed(3)
    t, s = torch.full((rows,), 0.9), torch.full((rows,), 0.2)
    data = batch(flow.data((rows, 1, 1), generator), t, s)

    def gradient(*, asks_for_s: bool) -> Tensor:
        wrong = torch.zeros(2, requires_grad=True)

        def network(x_t: Tensor, t: Tensor, s: Tensor, c: object) -> Tensor:
            del c
            u = flow.average_velocity(x_t, t, s if asks_for_s else t) + wrong[0] + wrong[1] * x_t
            return u if kind == "v" else x_t - expand(t, x_t) * u

        networks = Networks(live=network, average=network, parametrisation=kind)
        MeanFlow(weight_power=0.0).loss(networks, data).loss.backward()
        assert wrong.grad is not None
        return wrong.grad

    # Residuals have a standard deviation below 1.2, so that 2 * residual * x has a standard error below 0.02.
    assert gradient(asks_for_s=True).abs().max() < 0.06
    assert gradient(asks_for_s=False).abs().max() > 0.3


@pytest.mark.parametrize("how", METHODS)
@pytest.mark.parametrize("kind", ["x0", "v"])
def test_at_s_equal_t_it_is_flow_matching(kind: Parametrisation, how: Derivative) -> None:
    """Without the adaptive weight the loss is flow matching's, summed over elements; with it the error is the same.

    One row is passed on for nothing: every process has to make the same passes.
    """
    networks, live, _ = exact(AffineFlow(m=-0.3), kind)
    t = torch.tensor([1.0, 0.6, 0.03, 1e-4])
    data = batch(torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(1)), t, t)
    unweighted = MeanFlow(weight_power=0.0, derivative=how).loss(networks, data).loss
    assert live.rows_without == ([1] if how == "jvp" else [1, 1])
    flow = FlowMatching().loss(networks, data).loss

    assert torch.allclose(unweighted, flow * 6)
    assert torch.equal(MeanFlow(derivative=how).loss(networks, data).metrics["velocity_error"], flow)


def test_the_adaptive_weight() -> None:
    """1 / (e + c)^p: with p = 1 and a large error the weighted error is about 1, with p = 0 it is the error."""
    error = torch.tensor([0.0, 0.01, 4.0])

    assert torch.allclose(
        adaptive_weight(error, power=1.0, offset=0.01), torch.tensor([100.0, 50.0, 1 / 4.01])
    )
    assert torch.equal(adaptive_weight(error, power=0.0, offset=0.01), torch.ones(3))
    assert torch.allclose(adaptive_weight(error, power=0.5, offset=0.0)[2], torch.tensor(0.5))


def model(parametrisation: Parametrisation, grid: tuple[int, int]) -> ConditionalModel:
    config = tiny.config(parametrisation)
    torch.manual_seed(0)
    built = ConditionalModel(replace(config, denoiser=replace(config.denoiser, grid=grid)))
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return built


@pytest.mark.parametrize("grid", [(2, 2), (8, 9)])
@pytest.mark.parametrize("parametrisation", ["x0", "v"])
def test_the_real_network_has_a_derivative(parametrisation: Parametrisation, grid: tuple[int, int]) -> None:
    """Forward mode passes the whole model, with fused attention (72 tokens) and in bfloat16: differences agree."""
    net, rows = model(parametrisation, grid), 4
    networks = tiny.networks(net, net)
    generator = torch.Generator().manual_seed(2)
    x, v = (torch.randn(rows, grid[0] * grid[1], 64, generator=generator) for _ in range(2))
    t, s = torch.tensor([0.9, 0.6, 0.5, 0.3]), torch.tensor([0.5, 0.0, 0.4, 0.2])
    c = tiny.condition(torch.randint(3, 10, (rows, 4), generator=generator))

    def u(x: Tensor, t: Tensor) -> Tensor:
        return (x - networks.clean(net, x, t, s, c)) / expand(t, x)

    with torch.autocast("cpu", torch.bfloat16):
        in_bfloat16 = derivative_by_jvp(u, x, v, t)
        by_difference = derivative_by_difference(u, x, v, t, s, step=2e-4)
    by_jvp = derivative_by_jvp(u, x, v, t)

    assert (by_difference - by_jvp).norm() < 0.01 * by_jvp.norm()
    assert (in_bfloat16 - by_jvp).norm() < 0.03 * by_jvp.norm()


@pytest.mark.parametrize("how", METHODS)
def test_embeddings_may_be_stored_in_bfloat16(how: Derivative) -> None:
    """As encoded shards have them they train under autocast, also where a difference leaves it."""
    torch.manual_seed(3)
    net = ConditionalModel(frozen.model_config(Path()))
    tokens = torch.randn(3, frozen.NUM_TOKENS, frozen.T5_WIDTH, dtype=torch.bfloat16)
    mask = torch.ones(3, frozen.NUM_TOKENS, dtype=torch.bool)
    c = Condition(tokens, mask, torch.randn(3, frozen.CLIP_WIDTH, dtype=torch.bfloat16))
    data = batch(torch.randn(3, 4, 64), torch.tensor([0.9, 0.6, 0.5]), torch.tensor([0.1, 0.6, 0.0]))
    with torch.autocast("cpu", torch.bfloat16):
        loss = MeanFlow(derivative=how).loss(tiny.networks(net, net), replace(data, c=c)).loss
    loss.backward()

    assert torch.isfinite(loss)
    assert net.denoiser.text_in.bias.grad is not None


@pytest.mark.parametrize("how", METHODS)
def test_the_target_carries_no_gradient(how: Derivative) -> None:
    """The gradient flows through V(x_t, t, s, c) alone: it is that of a regression on the detached target."""
    net = model("v", (2, 2))
    x0 = torch.randn(3, 4, 64, generator=torch.Generator().manual_seed(5))
    data = batch(x0, torch.tensor([0.9, 0.6, 0.5]), torch.tensor([0.1, 0.6, 0.0]))
    data = replace(data, c=tiny.condition(torch.randint(3, 10, (3, 4))))
    MeanFlow(derivative=how, weight_power=0.0).loss(tiny.networks(net, net), data).loss.backward()
    gradient = net.denoiser.image_out.bias.grad
    assert gradient is not None

    x_t = noised(data.x0, data.eps, data.t)
    v = data.eps - data.x0
    du = derivative_of(lambda x, t: net(x, t, data.s, data.c), x_t, v, data.t, data.s, how)
    residual = net(x_t, data.t, data.s, data.c) - (v - expand(data.t - data.s, v) * du)
    assert torch.allclose(gradient, 2 * residual.detach().sum(dim=(0, 1)) / 3, rtol=1e-3, atol=1e-3)


def test_forward_mode_leaves_compiled_code_alone() -> None:
    """A compiled network has its true derivative, and is still compiled for the calls that come after."""
    compilations: list[int] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> torch.fx.GraphModule:
        compilations.append(len(inputs))
        return graph

    @torch.compile(backend=backend)
    def u(x: Tensor, t: Tensor) -> Tensor:
        return x * t[:, None, None]

    x, v, t = torch.ones(2, 1, 1), torch.full((2, 1, 1), 3.0), torch.tensor([0.5, 1.0])
    du = derivative_by_jvp(u, x, v, t)
    assert torch.equal(du.flatten(), torch.tensor([2.5, 4.0]))  # v t + x
    assert not compilations
    u(x, t)
    assert len(compilations) == 1


@pytest.mark.parametrize("how", METHODS)
def test_only_rows_with_s_below_t_are_differentiated(how: Derivative) -> None:
    """With gradient every row once; without, the rows with s < t: in one pass of twice the cost, or in two."""
    networks, live, average = exact(AffineFlow(), "x0")
    t = torch.tensor([0.9, 0.8, 0.5, 0.4])
    MeanFlow(derivative=how).loss(
        networks, batch(torch.randn(4, 1, 2), t, t * torch.tensor([1.0, 0.5, 1.0, 0.0]))
    )

    assert live.rows_with_gradient == [4]
    assert live.rows_without == ([2] if how == "jvp" else [2, 2])
    assert not average.told


def test_times() -> None:
    """A quarter of the rows has s < t; the others follow flow matching's distribution of t; s and t never cross."""
    generator = torch.Generator().manual_seed(0)
    t, s = MeanFlow().times(40_000, mu=0.4, step=0, generator=generator)
    reference = sample_t(40_000, mu=0.4, generator=generator)

    assert ((s >= 0) & (s <= t) & (t <= 1)).all()
    assert abs((s < t).float().mean().item() - 0.25) < 0.01  # standard error 0.002
    assert abs((t[s == t].mean() - reference.mean()).item()) < 0.01  # standard deviation 0.2
    average = s < t
    assert abs(((t + s)[average].mean() / 2 - reference.mean()).item()) < 0.01


@pytest.mark.parametrize(
    "options",
    [
        {"derivative": "backward"},
        {"average_share": 1.5},
        {"difference_step": 0.0},
        {"weight_offset": 0.0},
        {"weight_power": -1.0},
    ],
)
def test_options_without_a_meaning_are_refused(options: dict[str, Any]) -> None:
    """The refusal names the option and what was expected."""
    with pytest.raises(ValueError, match=f"{next(iter(options))} .*(expected|not one of)"):
        MeanFlow(**options)


def test_it_learns_to_land_in_one_step() -> None:
    """On two points one step ends near one of them at least four times as often as flow matching's."""
    share = share_near(trained(MeanFlow()), num_steps=1)

    assert share > 0.4  # 0.52 when this was written; flow matching 0.07
    assert share > 4 * one_step_of_flow_matching()
