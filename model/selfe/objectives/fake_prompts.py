"""The fake branch learns the model's own samples under the prompt "... fake image" (Self-E S.7-S.8).

    L_fake = (1/s^2) ||G(sg[xhat_s], s, s, c_fake) - sg[xhat0]||^2

It is flow matching with xhat0 in the place of the data, and so G(., s, s, c_fake) estimates E[xhat0 | xhat_s, c], the mean
of what the model makes rather than of what the data are. The weight 1/s^2 is our choice, as the paper names none here: it
is the weight of the other terms (Eq. 21), divided as analytically as theirs. The branch is the live network, the only one
that gradients reach.
"""

from __future__ import annotations

from torch import Tensor

from selfe.objectives.evaluation import OwnSamples
from selfe.objectives.networks import Networks
from selfe.parametrisation import velocity_loss


def fake_loss(networks: Networks, samples: OwnSamples, *, num_rows: int) -> Tensor:
    """L_fake summed over the evaluated rows and divided by ``num_rows``, those of the whole batch: a scalar.

    Rows that are not evaluated count as zero, so the mean over parts of a batch is the value of the whole batch.
    """
    output = networks.live(samples.xhat_s, samples.s, samples.s, samples.require_c_fake())
    losses = velocity_loss(
        output,
        target_x0=samples.xhat0,
        x0=samples.xhat0,
        eps=samples.eps,
        t=samples.s,
        kind=networks.parametrisation,
    )
    return losses.where(samples.counts, 0.0).sum() / num_rows
