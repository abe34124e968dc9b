from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from selfe.model import ConditionalModel
from selfe.objectives.batch import TrainingBatch
from selfe.objectives.meanflow import MeanFlow
from selfe.objectives.networks import Networks
from selfe.objectives.self_e import SelfE
from selfe.objectives.self_e_meanflow import SelfEMeanFlow
from selfe.training.ema import averaged_copy
from selfe.training.errors import TrainingError
from tests.unit.selfe import exact, tiny


def networks() -> tuple[ConditionalModel, Networks]:
    torch.manual_seed(0)
    live = ConditionalModel(tiny.config())
    with torch.no_grad():
        for parameter in live.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return live, tiny.networks(live, averaged_copy(live))


def batch(rows: int) -> TrainingBatch:
    """Rows with s < t, s = t and s = 0 in turns."""
    source = tiny.RandomLatents(rows)
    data = source.batch(0, 0)
    t = torch.linspace(0.3, 1.0, rows)
    s = t * torch.tensor([0.5, 1.0, 0.0]).repeat(rows)[:rows]
    made = exact.batch(data.latents, t=t, s=s)
    return replace(made, c=data.c, phi=source.null, c_fake=None)


@pytest.mark.parametrize(("share", "num_first"), [(0.5, 4), (0.25, 6)])
def test_the_loss_is_the_mean_over_the_rows_of_both(share: float, num_first: int) -> None:
    """Loss and gradient are those of Self-E on the first rows and of MeanFlow on the last, each by its share of the rows."""
    data = batch(8)
    live, nets = networks()
    found = SelfEMeanFlow(meanflow_share=share).loss(nets, data)
    found.loss.backward()
    other, other_nets = networks()
    first = SelfE().loss(other_nets, data.rows(slice(0, num_first)))
    last = MeanFlow().loss(other_nets, data.rows(slice(num_first, None)))
    weight = num_first / 8
    (weight * first.loss + (1 - weight) * last.loss).backward()

    assert found.loss.item() == pytest.approx(weight * first.loss.item() + (1 - weight) * last.loss.item())
    assert found.metrics["loss"].item() == found.loss.item()
    assert torch.equal(found.metrics["self_e_loss"], first.loss.detach())
    assert torch.equal(found.metrics["meanflow_loss"], last.loss.detach())
    assert "meanflow_velocity_error" in found.metrics
    gradients = [p.grad for p in live.parameters() if p.grad is not None]
    expected = [p.grad for p in other.parameters() if p.grad is not None]
    assert gradients
    for one, two in zip(gradients, expected, strict=True):
        assert torch.allclose(one, two, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("num_rows", "share", "num_first"),
    [(64, 0.5, 32), (400, 0.25, 300), (2, 0.01, 1), (2, 0.99, 1), (8, 0.999, 1), (8, 0.001, 7)],
)
def test_each_row_gets_the_times_of_its_objective(num_rows: int, share: float, num_first: int) -> None:
    """The first rows have Self-E's times at its annealing, the last MeanFlow's; however small its share, each has a row."""
    objective = SelfEMeanFlow(anneal_steps=100, meanflow_share=share)
    t, s = objective.times(num_rows, mu=0.4, step=30, generator=torch.Generator().manual_seed(2))
    generator = torch.Generator().manual_seed(2)
    first = SelfE(anneal_steps=100).times(num_first, mu=0.4, step=30, generator=generator)
    last = MeanFlow().times(num_rows - num_first, mu=0.4, step=30, generator=generator)

    assert torch.equal(t, torch.cat((first.t, last.t)))
    assert torch.equal(s, torch.cat((first.s, last.s)))


def test_one_row_is_too_few() -> None:
    """A part of one row cannot be shared: the error says how many are needed, for times and loss alike."""
    _, nets = networks()
    with pytest.raises(TrainingError, match="expected at least 2, got 1"):
        SelfEMeanFlow().times(1, mu=0.4, step=0, generator=torch.Generator())
    with pytest.raises(TrainingError, match="expected at least 2, got 1"):
        SelfEMeanFlow().loss(nets, batch(1))


def test_options_without_a_meaning_are_refused() -> None:
    """The ends of the share are other objectives, and an annealing of less than no steps is none."""
    for share in (0.0, 1.0, -0.5):
        with pytest.raises(ValueError, match=f"meanflow_share {share}: .* self_e and meanflow"):
            SelfEMeanFlow(meanflow_share=share)
    with pytest.raises(ValueError, match="anneal_steps -1"):
        SelfEMeanFlow(anneal_steps=-1)
