"""Flow matching: ||V(x_t, t, t, c) - (eps - x0)||^2 (Self-E Eq. 7 at s = t; Lipman et al. 2210.02747).

In terms of the clean prediction this is (1/t^2) ||G - x0||^2. Cost: 3 forward equivalents a step.
"""

from __future__ import annotations

from selfe.model import ConditionalModel
from selfe.objectives.batch import ObjectiveResult, TrainingBatch
from selfe.parametrisation import velocity_loss
from selfe.path import noised


def flow_matching(model: ConditionalModel, batch: TrainingBatch) -> ObjectiveResult:
    """The flow-matching loss of one batch; ``batch.s`` is ignored, the network is told s = t."""
    x_t = noised(batch.x0, batch.eps, batch.t)
    output = model(x_t, batch.t, batch.t, batch.tokens)
    loss = velocity_loss(
        output,
        target_x0=batch.x0,
        x0=batch.x0,
        eps=batch.eps,
        t=batch.t,
        kind=model.config.parametrisation,
    ).mean()
    return ObjectiveResult(loss=loss, metrics={"loss": loss.detach()})
