"""Where objects stand: a layout for each number of objects, drawn for many scenes at once.

One object stands large and anywhere near the centre; two share the picture in halves, side by side or one
above the other, close enough to the common axis that GenEval's rule sees exactly one relation; three and four
stand in the quadrants; five (only in scenes made to break a count) in a grid of six cells.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from selfe_eval.openmoji.scenes import SCENE_PX
from selfe_eval.openmoji.sprites import SIZES_PX

HALF_PX = SCENE_PX // 2
AXIS_JITTER_PX = 8
"""How far two objects may stray from their common axis."""

_SIDES = torch.tensor(SIZES_PX)
_LARGE = torch.tensor([SIZES_PX.index(side) for side in (32, 40, 48)])
_MEDIUM = torch.tensor([SIZES_PX.index(side) for side in (24, 28, 32)])
_SMALL = torch.tensor([SIZES_PX.index(side) for side in (20, 24, 28)])
_TINY = torch.tensor([SIZES_PX.index(20)])


class Layout(NamedTuple):
    """Places for O slots of B scenes; only the first ``count`` slots of a scene are meant to be used."""

    size_index: Tensor
    """int64 (B, O)."""
    corner_xy: Tensor
    """int64 (B, O, 2)."""


def one(batch: int, slots: int, generator: torch.Generator) -> Layout:
    """A large object, its place triangularly distributed around the centre."""
    size = _choose(_LARGE, (batch, slots), generator)
    room = (SCENE_PX - _SIDES[size])[..., None].expand(-1, -1, 2)
    middle = (_uniform(room.shape, generator) + _uniform(room.shape, generator)) / 2
    return Layout(size, (middle * (room + 1)).long().clamp_max(room))


def two(horizontal: Tensor, slots: int, generator: torch.Generator) -> Layout:
    """Slot 0 left (or on top) of slot 1; ``horizontal`` is bool (B,): side by side."""
    batch = len(horizontal)
    size = _choose(_MEDIUM, (batch, slots), generator)
    side = _SIDES[size]
    slot = torch.arange(slots).remainder(2)
    along = slot * HALF_PX + _jitter(HALF_PX - side, generator)
    room = SCENE_PX - side
    stray = ((_uniform(side.shape, generator) * 2 - 1) * AXIS_JITTER_PX).round().long()
    across = (room // 2 + stray).clamp_min(0).minimum(room)
    side_by_side = torch.stack([along, across], dim=-1)
    corner = torch.where(horizontal[:, None, None], side_by_side, side_by_side.flip(-1))
    return Layout(size, corner)


def quadrants(batch: int, slots: int, generator: torch.Generator) -> Layout:
    """Up to four objects, each in its own quadrant; which slot gets which quadrant is random."""
    size = _choose(_SMALL, (batch, slots), generator)
    quadrant = _uniform((batch, 4), generator).argsort(dim=1)[:, :slots]
    cell = torch.stack([quadrant % 2, quadrant // 2], dim=-1) * HALF_PX
    room = (HALF_PX - _SIDES[size])[..., None].expand(-1, -1, 2)
    return Layout(size, cell + _jitter(room, generator))


def six_cells(batch: int, slots: int, generator: torch.Generator) -> Layout:
    """Up to six small objects in three columns and two rows."""
    size = _choose(_TINY, (batch, slots), generator)
    cell = _uniform((batch, 6), generator).argsort(dim=1)[:, :slots]
    width = SCENE_PX // 3
    corner = torch.stack([cell % 3 * width, cell // 3 * HALF_PX], dim=-1)
    room = torch.tensor([width, HALF_PX]) - 20
    return Layout(size, corner + _jitter(room.expand(batch, slots, 2), generator))


def _uniform(shape: tuple[int, ...] | torch.Size, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator)


def _choose(options: Tensor, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    return options[torch.randint(len(options), shape, generator=generator)]


def _jitter(room: Tensor, generator: torch.Generator) -> Tensor:
    """A uniform integer in [0, room], element by element."""
    return (_uniform(room.shape, generator) * (room + 1)).long().minimum(room)
