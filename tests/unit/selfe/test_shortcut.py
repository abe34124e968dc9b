from __future__ import annotations

from typing import Any

import pytest
import torch

from selfe.objectives.flow_matching import FlowMatching
from selfe.objectives.shortcut import Shortcut, midpoint, told_second_time
from selfe.parametrisation import Parametrisation
from selfe.times import sample_t, time_grid
from tests.unit.selfe.affine_flow import AffineFlow, batch, exact
from tests.unit.selfe.two_points import one_step_of_flow_matching, share_near, trained


def steps_of_grids(num_grids: int, mu: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Every step (t, s) of the grids of 1, 2, ..., 2^(num_grids - 1) steps."""
    grids = [time_grid(2**k, mu=mu).float() for k in range(num_grids)]
    return torch.cat([grid[:-1] for grid in grids]), torch.cat([grid[1:] for grid in grids])


@pytest.mark.parametrize("mu", [0.0, 0.42])
@pytest.mark.parametrize("sd", [0.25, 0.5, 2.0])
@pytest.mark.parametrize("kind", ["x0", "v"])
def test_the_exact_average_velocity_is_its_own_target(kind: Parametrisation, sd: float, mu: float) -> None:
    """Two exact half steps are one exact step: for x0 ~ N(m, sd^2) the loss vanishes on all grids, at t = 1 and s = 0 too.

    The finest grid is left out: its halves are flow matching's, which is exact for straight paths only.
    """
    t, s = steps_of_grids(6, mu)
    networks, _, _ = exact(AffineFlow(sd=sd), kind)
    x0 = AffineFlow(sd=sd).data((len(t), 2, 3), torch.Generator().manual_seed(0))

    assert Shortcut().loss(networks, batch(x0, t, s, mu=mu)).loss < 1e-8


@pytest.mark.parametrize("kind", ["x0", "v"])
def test_one_point_is_learned_without_error(kind: Parametrisation) -> None:
    """Data at one point: the paths are straight, and the loss of the exact network vanishes on the finest grid too."""
    t, s = steps_of_grids(7, 0.3)
    networks, _, _ = exact(AffineFlow(sd=0.0), kind)
    data = batch(torch.full((len(t), 2, 3), 0.7), t, s, mu=0.3)

    assert Shortcut().loss(networks, data).loss < 1e-7


def test_a_network_that_ignores_s_is_corrected() -> None:
    """The flow's velocity in place of the average one has a loss: one Euler step is not two."""
    t, s = steps_of_grids(2, 0.0)
    flow = AffineFlow(sd=0.5)
    networks, live, _ = exact(flow, "v")
    data = batch(flow.data((3, 2, 3), torch.Generator().manual_seed(0)), t, s)
    live.ignores_s = True

    assert Shortcut().loss(networks, data).loss > 0.1


@pytest.mark.parametrize("kind", ["x0", "v"])
def test_at_s_equal_t_it_is_flow_matching_exactly(kind: Parametrisation) -> None:
    """Rows with s = t have flow matching's loss, bit for bit, at both ends too; one row is passed on for nothing.

    Every process has to make the same passes.
    """
    networks, _, average = exact(AffineFlow(m=-0.3), kind)
    t = torch.tensor([1.0, 0.6, 0.03, 1e-4])
    data = batch(torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(1)), t, t)

    loss = Shortcut().loss(networks, data).loss
    assert average.rows_without == [1, 1]
    assert torch.equal(loss, FlowMatching().loss(networks, data).loss)


def test_two_calls_of_the_average_network_for_the_rows_with_s_below_t() -> None:
    """With gradient every row once, by the live network; without, the rows with s < t twice, by the average."""
    networks, live, average = exact(AffineFlow(), "x0")
    data = batch(torch.zeros(4, 1, 2), torch.tensor([1.0, 0.8, 0.5, 0.4]), torch.tensor([0.5, 0.8, 0.0, 0.4]))
    Shortcut().loss(networks, data)

    assert (live.rows_with_gradient, live.rows_without) == ([4], [])
    assert (average.rows_with_gradient, average.rows_without) == ([], [2, 2])


def test_halves_are_told_their_ends_and_the_finest_their_start() -> None:
    """The average network is asked for (t, m) and (m, s); for half steps of 2^-7 for (t, t) and (m, m), the paper's d = 0."""
    networks, _, average = exact(AffineFlow(), "v")
    t, s = torch.tensor([1.0, 0.5, 1 / 64]), torch.tensor([0.0, 15 / 32, 0.0])
    Shortcut().loss(networks, batch(torch.zeros(3, 1, 1), t, s))
    (first_t, first_s), (second_t, second_s) = average.told

    assert torch.equal(first_t, t)
    assert torch.equal(first_s, torch.tensor([0.5, 31 / 64, 1 / 64]))
    assert torch.equal(second_t, torch.tensor([0.5, 31 / 64, 1 / 128]))
    assert torch.equal(second_s, torch.tensor([0.0, 15 / 32, 1 / 128]))


def test_the_middle_of_a_warped_step_is_a_point_of_the_next_grid() -> None:
    """Under the warp, too, halves of the steps of a grid are steps of the grid with twice as many."""
    coarse, fine = (time_grid(n, mu=0.42).float() for n in (8, 16))
    middle = midpoint(coarse[:-1], coarse[1:], 0.42)

    assert torch.allclose(middle, fine[1::2], atol=1e-6)
    told = told_second_time(fine[:-1], fine[1:], mu=0.42, finest=1 / 16)
    assert torch.equal(told, fine[:-1])
    told = told_second_time(fine[:-1], fine[1:], mu=0.42, finest=1 / 32)
    assert torch.equal(told, fine[1:])


def test_times_are_steps_of_a_sampler() -> None:
    """A quarter of the rows are steps of the sampler's grids, each grid as likely; the others are flow matching's times."""
    generator = torch.Generator().manual_seed(0)
    t, s = Shortcut().times(20_000, mu=0.42, step=0, generator=generator)
    reference = sample_t(20_000, mu=0.42, generator=generator)
    consistency = s < t

    assert abs(consistency.float().mean().item() - 0.25) < 0.02  # standard error 0.003
    assert abs((t[~consistency].mean() - reference.mean()).item()) < 0.01
    every_t, every_s = steps_of_grids(7, 0.42)
    pairs, steps = torch.stack([t, s], dim=1)[consistency], torch.stack([every_t, every_s], dim=1)
    nearest, which = (pairs[:, None] - steps).abs().amax(dim=2).min(dim=1)
    assert nearest.max() < 1e-5
    grid = (which + 1).float().log2().floor().long()
    share = torch.bincount(grid, minlength=7) / len(grid)
    assert (share - 1 / 7).abs().max() < 0.03  # standard error 0.005
    assert torch.unique(which).numel() == 127


@pytest.mark.parametrize("options", [{"consistency_share": -0.1}, {"num_grids": 0}])
def test_options_without_a_meaning_are_refused(options: dict[str, Any]) -> None:
    """The refusal names the option and what was expected."""
    with pytest.raises(ValueError, match=f"{next(iter(options))} .*expected"):
        Shortcut(**options)


def test_it_learns_to_land_in_one_step() -> None:
    """On two points one step ends near one of them at least three times as often as flow matching's."""
    share = share_near(trained(Shortcut()), num_steps=1)

    assert share > 0.33  # 0.44 when this was written; flow matching 0.07
    assert share > 3 * one_step_of_flow_matching()
