"""Self-E on some rows of a batch and MeanFlow on the others: two teachers for long jumps.

Self-E's open question 2 is what is left between one or two steps and fifty. Its evaluation corrects where a jump lands, by
the prompt; MeanFlow's target corrects how it gets there, along the flow. Under both V(x_t, t, s, c) is what a deterministic
jump from t to s needs, so that one network and one sampler serve them. No paper combines them; this is ours.

The loss is the mean over the rows of both. Neither is reweighted: Self-E's is a mean square per element, below 1 on
standardised latents, and MeanFlow's adaptive weight brings its rows to about 1. In forward passes over a batch, where a
backward pass counts as two, a step costs their mean: 3.75 with half of the rows each.
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
from selfe.training.errors import TrainingError


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
        _ = self._self_e
        if not 0.0 < self.meanflow_share < 1.0:
            raise ValueError(
                f"meanflow_share {self.meanflow_share}: expected a share between 0 and 1, both excluded; the ends are "
                "the objectives self_e and meanflow."
            )

    def times(self, num_rows: int, *, mu: float, step: int, generator: torch.Generator) -> TimePair:
        """Self-E's times for its rows, MeanFlow's for the others.

        Raises:
            TrainingError: fewer than two rows.
        """
        first = self._num_first(num_rows)
        of_self_e = self._self_e.times(first, mu=mu, step=step, generator=generator)
        of_meanflow = MeanFlow().times(num_rows - first, mu=mu, step=step, generator=generator)
        return TimePair(*(torch.cat(pair) for pair in zip(of_self_e, of_meanflow, strict=True)))

    def loss(self, networks: Networks, batch: TrainingBatch) -> ObjectiveResult:
        """The mean loss over all rows; the metrics of each bear its name.

        Raises:
            TrainingError: fewer than two rows.
        """
        num_rows = len(batch.x0)
        first = self._num_first(num_rows)
        parts = (
            (self._self_e, batch.rows(slice(0, first)), first),
            (MeanFlow(), batch.rows(slice(first, None)), num_rows - first),
        )
        loss = batch.x0.new_zeros(())
        metrics: dict[str, Tensor] = {}
        for objective, rows, count in parts:
            result = objective.loss(networks, rows)
            loss = loss + result.loss * (count / num_rows)
            metrics |= {f"{objective.name}_{name}": value for name, value in result.metrics.items()}
        return ObjectiveResult(loss=loss, metrics={"loss": loss.detach(), **metrics})

    @property
    def _self_e(self) -> SelfE:
        return SelfE(anneal_steps=self.anneal_steps)

    def _num_first(self, num_rows: int) -> int:
        if num_rows < 2:
            raise TrainingError(
                f"{self.name} deals the rows of a batch out to two objectives: expected at least 2, got {num_rows}. Take a "
                "larger batch, or cut it into fewer parts."
            )
        return min(num_rows - 1, max(1, round(num_rows * (1.0 - self.meanflow_share))))
