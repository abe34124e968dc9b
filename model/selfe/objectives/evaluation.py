"""Self-evaluation: in which direction would the prompt move the model's own few-step samples (Self-E Eq. 13-15, S.6).

The prediction xhat0 is noised again to xhat_s = (1 - s) xhat0 + s eps' with fresh noise eps', and the network, without
gradient, is asked twice at (s, s), or three times with the auxiliary term. The same xhat_s goes into all passes:

    Delta = k (G(xhat_s, s, s, phi) - G(xhat_s, s, s, c)) + (1 - k) (G(xhat_s, s, s, c_fake) - G(xhat_s, s, s, c))

c: EMA weights, phi: live weights (appendix S.2). The paper does not say which weights c_fake has here. We take the EMA
weights: G(c_fake) - G(c) is then a difference of prompts alone, near zero before the fake prompt has learnt anything.

Only rows with s < t whose caption was kept are evaluated: elsewhere beta is 0, or Delta would be phi against phi. At
s = 0 the noise is zero and every exact G returns its input, so Delta is set to zero there and costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from selfe.condition import Condition
from selfe.objectives.batch import TrainingBatch
from selfe.objectives.networks import Networks
from selfe.objectives.rows import rows_where
from selfe.path import expand, noised, sample_norm


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSamples:
    """The rows of a batch that are evaluated, R of B, and what the evaluation needs of them; constants to autograd."""

    rows: Tensor
    """int64 (R,): their places in the batch; R is at least 1."""
    counts: Tensor
    """bool (R,): all true, except where no row is to be evaluated and the first one fills in (``rows_where``)."""
    xhat0: Tensor
    """The model's predictions (R, L, D), float32."""
    eps: Tensor
    """The fresh noise (R, L, D)."""
    s: Tensor
    """(R,): the time of the evaluation."""
    xhat_s: Tensor
    """The predictions, noised again to time s (R, L, D)."""
    c: Condition
    """R prompts."""
    phi: Condition
    """R times the null prompt."""
    c_fake: Condition | None
    """R prompts with the phrase "fake image" beside them; None where the batch has none."""

    def require_c_fake(self) -> Condition:
        """The fake prompts.

        Raises:
            ValueError: the batch has none.
        """
        if self.c_fake is None:
            raise ValueError(
                "The auxiliary term of Self-E is on, but the batch carries no fake prompts (c_fake is None). The source of "
                "the data has to add them to every batch where the objective's needs_fake_prompts is true."
            )
        return self.c_fake


@torch.no_grad()
def own_samples(xhat0: Tensor, batch: TrainingBatch, *, evaluation_time: float | None = None) -> OwnSamples:
    """Noise the predictions xhat0 (B, L, D) again, where they are to be evaluated.

    Args:
        xhat0: Predictions of the whole batch, float32.
        batch: What they are predictions of.
        evaluation_time: The least time of an evaluation, in (0, 1); None evaluates at the row's s (the paper).
    """
    s = batch.s if evaluation_time is None else batch.s.clamp_min(evaluation_time)
    wanted = (batch.s < batch.t) & ~batch.dropped & (s > 0.0)
    rows = rows_where(wanted)
    return OwnSamples(
        rows=rows,
        counts=wanted[rows],
        xhat0=xhat0[rows],
        eps=batch.fresh_noise[rows],
        s=s[rows],
        xhat_s=noised(xhat0[rows], batch.fresh_noise[rows], s[rows]),
        c=batch.c.rows(rows),
        phi=batch.phi.repeated(len(rows)),
        c_fake=None if batch.c_fake is None else batch.c_fake.rows(rows),
    )


@torch.no_grad()
def evaluation_direction(networks: Networks, samples: OwnSamples, *, num_rows: int, k: float = 1.0) -> Tensor:
    """Delta of a batch of ``num_rows`` rows, float32 (B, L, D); exactly zero on rows that are not evaluated.

    Args:
        networks: Where G comes from.
        samples: What is evaluated.
        num_rows: B.
        k: Share of the classifier direction, in [0, 1]; 1 is without the auxiliary term and makes no third pass.
    """
    x, s = samples.xhat_s, samples.s
    conditional = networks.clean(networks.average, x, s, s, samples.c)
    direction = networks.clean(networks.live, x, s, s, samples.phi) - conditional
    if k != 1.0:
        fake = networks.clean(networks.average, x, s, s, samples.require_c_fake())
        direction = k * direction + (1.0 - k) * (fake - conditional)
    delta = torch.zeros(num_rows, *direction.shape[1:], device=direction.device)
    delta[samples.rows] = direction.where(expand(samples.counts, direction), 0.0)
    return delta


def at_mean_length(delta: Tensor) -> Tensor:
    """Scale every Delta of a batch (B, L, D) to their mean norm; rows where it is zero stay so and do not count."""
    norms = sample_norm(delta)
    there = norms > 0.0
    mean = norms.sum() / there.sum().clamp_min(1)
    return delta * torch.where(there, mean / norms, 0.0)
