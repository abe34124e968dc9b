"""Which rows of a batch get passes of their own."""

from __future__ import annotations

import torch
from torch import Tensor


def rows_where(wanted_B: Tensor) -> Tensor:
    """The places int64 (R,) of the true rows; where there is none the first row fills in, so that R is at least 1.

    So every process makes the same number of passes, without which sharded networks wait for each other for ever. Callers
    must give a row that fills in no weight.
    """
    rows = wanted_B.nonzero().squeeze(1)
    return rows if len(rows) else torch.zeros(1, dtype=torch.int64, device=wanted_B.device)
