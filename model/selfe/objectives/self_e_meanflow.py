"""Self-E on some rows of a batch and MeanFlow on the others: both teach the network its long jumps, from two sides.

Self-E's open question 2 is what is left between one or two steps and fifty. Its evaluation corrects where a jump lands, by
the prompt; MeanFlow's target corrects how it gets there, along the flow. Under both V(x_t, t, s, c) is what a deterministic
jump from t to s needs, so that one network and one sampler serve them. No paper combines them; this is ours.

The loss is the mean over the rows of both. Neither is reweighted: Self-E's is a mean square per element, below 1 on
standardised latents, and MeanFlow's adaptive weight brings its rows to about 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from selfe.objectives.batch import ObjectiveResult, TrainingBatch
from selfe.objectives.meanflow import MeanFlow
from selfe.objectives.networks import Networks
from selfe.objectives.self_e import SelfE
from selfe.times import TimePair


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfEMeanFlow:
    """Self-E on the first rows, MeanFlow on the last."""

    name: ClassVar[str] = "self_e_meanflow"
    rows_per_caption: ClassVar[int] = 1
    needs_fake_prompts: ClassVar[bool] = False

    anneal_steps: int = 0
    """Of Self-E: steps over which tau goes 0 -> 1."""
    meanflow_share: float = 0.5
    """Share of the rows of a batch that are MeanFlow's, strictly between 0 and 1; both get at least one row."""

    def __post_init__(self) -> None:
        """Refuse values without a meaning."""
        SelfE(anneal_steps=self.anneal_steps)
        if not 0.0 < self.meanflow_share < 1.0:
            raise ValueError(
                f"meanflow_share {self.meanflow_share}: expected a share between 0 and 1, both excluded; the ends are "
                "the objectives self_e and meanflow."
            )

    def times(self, num_rows: int, *, mu: float, step: int, generator: torch.Generator) -> TimePair:
        """Self-E's times for its rows, MeanFlow's for the others.

        Raises:
            ValueError: fewer than two rows.
        """
        first = self._num_first(num_rows)
        of_self_e = SelfE(anneal_steps=self.anneal_steps).times(first, mu=mu, step=step, generator=generator)
        of_meanflow = MeanFlow().times(num_rows - first, mu=mu, step=step, generator=generator)
        return TimePair(*(torch.cat(pair) for pair in zip(of_self_e, of_meanflow, strict=True)))

    def loss(self, networks: Networks, batch: TrainingBatch) -> ObjectiveResult:
        """The mean loss over all rows; metrics of the two bear their names."""
        num_rows = len(batch.x0)
        first = self._num_first(num_rows)
        parts = (
            (SelfE(anneal_steps=self.anneal_steps), batch.rows(slice(0, first)), first),
            (MeanFlow(), batch.rows(slice(first, None)), num_rows - first),
        )
        loss = batch.x0.new_zeros(())
        metrics: dict[str, Tensor] = {}
        for objective, rows, count in parts:
            result = objective.loss(networks, rows)
            loss = loss + result.loss * (count / num_rows)
            metrics |= {f"{objective.name}_{name}": value for name, value in result.metrics.items()}
        return ObjectiveResult(loss=loss, metrics={"loss": loss.detach(), **metrics})

    def _num_first(self, num_rows: int) -> int:
        if num_rows < 2:
            raise ValueError(f"Two objectives share a batch, which needs at least 2 rows; got {num_rows}.")
        return min(num_rows - 1, max(1, round(num_rows * (1.0 - self.meanflow_share))))
