"""A tiny network trained with any objective on x0 = -1 or 1, and how often few steps land near one of the two."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor, nn

from selfe.condition import Condition
from selfe.objectives.flow_matching import FlowMatching
from selfe.objectives.jump import jump
from selfe.objectives.networks import Networks
from selfe.objectives.protocol import Objective
from selfe.times import time_grid
from selfe.training import ema
from tests.unit.selfe.affine_flow import batch

MU = 0.4
ROWS = 256
NUM_STEPS = 300


class TinyNetwork(nn.Module):
    """(x_t, t, t - s) -> V through two hidden layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1)
        )

    def forward(self, x_t: Tensor, t: Tensor, s: Tensor, c: Condition) -> Tensor:
        del c
        out: Tensor = self.layers(torch.stack([x_t[:, 0, 0], t, t - s], dim=1))
        return out[:, None]


def trained(objective: Objective, *, num_steps: int = NUM_STEPS) -> TinyNetwork:
    """The average of the weights after some steps of Adam."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    network = TinyNetwork()
    average = ema.averaged_copy(network)
    networks = Networks(live=network, average=average, parametrisation="v")
    optimiser = torch.optim.Adam(network.parameters())
    for step in range(num_steps):
        for group in optimiser.param_groups:
            group["lr"] = 3e-3 * (1 - step / num_steps)
        x0 = torch.randint(2, (ROWS, 1, 1), generator=generator) * 2.0 - 1.0
        t, s = objective.times(ROWS, mu=MU, step=step, generator=generator)
        optimiser.zero_grad()
        objective.loss(networks, batch(x0, t, s, mu=MU, seed=step)).loss.backward()
        optimiser.step()
        ema.update(average, network, ema.decay_at(step, 0.99))
    return average


@lru_cache
def one_step_of_flow_matching() -> float:
    """The share of flow matching in one step, trained as long: it lands at the mean."""
    return share_near(trained(FlowMatching()), num_steps=1, current=True)


@torch.no_grad()
def share_near(network: TinyNetwork, *, num_steps: int, current: bool = False) -> float:
    """Share of 2,000 samples that end within 0.25 of a point: deterministic, s_k = t_{k+1}, or t_k where ``current``."""
    rows = 2000
    x = torch.randn(rows, 1, 1, generator=torch.Generator().manual_seed(9))
    c = batch(x, torch.ones(rows), torch.zeros(rows)).c
    for now, then in pairwise(time_grid(num_steps, mu=MU).float().tolist()):
        t, s = torch.full((rows,), now), torch.full((rows,), then)
        x = jump(x, x - now * network(x, t, t if current else s, c), t, s)
    return ((x.abs() - 1.0).abs() < 0.25).float().mean().item()
