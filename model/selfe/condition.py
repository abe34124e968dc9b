"""What a network is told of a batch of prompts: token numbers of a vocabulary, or embeddings of frozen encoders."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Condition(NamedTuple):
    """B prompts. A condition of one row (the null prompt) stands for any number of rows: see ``repeated``."""

    tokens: Tensor
    """int64 (B, T) numbers for a text encoder that is trained along, or float (B, T, X) from a frozen one."""
    mask: Tensor
    """bool (B, T): the real tokens; at least one in a row."""
    pooled: Tensor | None = None
    """float (B, Y) from a frozen encoder; None where the trained encoder makes it."""

    def rows(self, which_B: Tensor) -> Condition:
        """The prompts at the given row numbers (or of a bool mask over rows)."""
        pooled = None if self.pooled is None else self.pooled[which_B]
        return Condition(self.tokens[which_B], self.mask[which_B], pooled)

    def to(self, device: torch.device | str) -> Condition:
        """The same on a device."""
        pooled = None if self.pooled is None else self.pooled.to(device)
        return Condition(self.tokens.to(device), self.mask.to(device), pooled)

    def in_float32(self) -> Condition:
        """The same with embeddings in float32, for passes outside autocast; token numbers stay what they are."""
        tokens = self.tokens.float() if self.tokens.is_floating_point() else self.tokens
        return Condition(tokens, self.mask, None if self.pooled is None else self.pooled.float())

    def repeated(self, num_rows: int) -> Condition:
        """This one prompt ``num_rows`` times, without a copy.

        Raises:
            ValueError: there is more than one row.
        """
        if len(self.tokens) != 1:
            raise ValueError(f"Only one row can be repeated; got {len(self.tokens)}.")
        pooled = None if self.pooled is None else self.pooled.expand(num_rows, -1)
        mask = self.mask.expand(num_rows, -1)
        return Condition(self.tokens.expand(num_rows, *self.tokens.shape[1:]), mask, pooled)


def concatenate(conditions: list[Condition]) -> Condition:
    """All rows of all conditions, in order; they agree in T and X."""
    pooled = [c.pooled for c in conditions if c.pooled is not None]
    return Condition(
        torch.cat([c.tokens for c in conditions]),
        torch.cat([c.mask for c in conditions]),
        torch.cat(pooled) if pooled else None,
    )


def choose(use_first_B: Tensor, first: Condition, second: Condition) -> Condition:
    """Row by row the first condition where ``use_first_B``, else the second."""
    pooled = None
    if first.pooled is not None and second.pooled is not None:
        pooled = torch.where(use_first_B[:, None], first.pooled, second.pooled)
    shape = (-1,) + (1,) * (first.tokens.ndim - 1)
    return Condition(
        torch.where(use_first_B.view(shape), first.tokens, second.tokens),
        torch.where(use_first_B[:, None], first.mask, second.mask),
        pooled,
    )
