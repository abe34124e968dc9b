"""What an objective is: a frozen dataclass of its options that draws its times and computes its loss."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, ClassVar, Protocol, cast

import torch

from selfe.objectives.batch import ObjectiveResult, TrainingBatch
from selfe.objectives.networks import Networks
from selfe.times import TimePair


class Objective(Protocol):
    """A way to train V(x_t, t, s, c). Its mathematics are free functions in its file; the class holds their options."""

    name: ClassVar[str]
    """In the table of objectives, in records and on the command line."""

    @property
    def rows_per_caption(self) -> int:
        """Neighbouring rows of a batch that share their caption (their pictures differ where the data has several)."""
        ...

    @property
    def needs_fake_prompts(self) -> bool:
        """Whether batches must carry ``c_fake``."""
        ...

    def times(self, num_rows: int, *, mu: float, step: int, generator: torch.Generator) -> TimePair:
        """Draw the times of a batch on the CPU; ``step`` counts from the start of this objective."""
        ...

    def loss(self, networks: Networks, batch: TrainingBatch) -> ObjectiveResult:
        """The loss of a batch whose times this objective drew."""
        ...


def describe(objective: Objective) -> dict[str, Any]:
    """Name and options, as records and settings keep them."""
    options = {field.name: getattr(objective, field.name) for field in fields(cast("Any", objective))}
    return {"name": objective.name, **options}
