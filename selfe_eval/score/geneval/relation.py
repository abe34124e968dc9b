"""Where one box lies relative to another: GenEval's rule for "left of", "right of", "above", "below".

All arithmetic is float32, as in the reference, so that pairs on the edge of the rule fall on the same side.
The reference returns a set whose printed order changes from process to process; here names are sorted.

Source: djghosh13/geneval at af4902f, ``evaluation/evaluate_images.py`` (MIT).
"""

from __future__ import annotations

import math

from selfe_eval.score.geneval.float32 import to_float32

Box = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in pixels, y down; each number holds a float32 value exactly."""

_MIN_DIRECTION = 0.5
"""A component of the direction counts when it is larger than this; strict."""

_SAME_PLACE_PX = to_float32(1e-3)
"""Shrunk offsets below this in both axes mean that no relation holds."""


def _shrunk_offset(offset: float, extents: float, slack: float) -> float:
    """The offset of two centres along one axis, moved towards zero by a share of both extents."""
    size = to_float32(abs(offset) - to_float32(slack * extents))
    return math.copysign(max(size, 0.0), offset)


def _extent(low: float, high: float) -> float:
    return abs(to_float32(high - low))


def _centre(low: float, high: float) -> float:
    return to_float32(to_float32(low + high) / 2)


def relations(a: Box, b: Box, slack: float = 0.1) -> tuple[str, ...]:
    """The relations that hold for "a ... b".

    Args:
        a: The moved object: the dog in "a dog left of a bench".
        b: The reference object.
        slack: Share of the two extents by which the centres may overlap without counting as moved, in [0, 1].

    Returns:
        None, one or two of RELATIONS, sorted by name.

    >>> relations((0, 0, 10, 10), (90, 80, 100, 90))
    ('above', 'left of')
    """
    slack = to_float32(slack)
    offset_x = to_float32(_centre(a[0], a[2]) - _centre(b[0], b[2]))
    offset_y = to_float32(_centre(a[1], a[3]) - _centre(b[1], b[3]))
    extents_x = to_float32(_extent(a[0], a[2]) + _extent(b[0], b[2]))
    extents_y = to_float32(_extent(a[1], a[3]) + _extent(b[1], b[3]))
    shrunk_x = _shrunk_offset(offset_x, extents_x, slack)
    shrunk_y = _shrunk_offset(offset_y, extents_y, slack)
    if abs(shrunk_x) < _SAME_PLACE_PX and abs(shrunk_y) < _SAME_PLACE_PX:
        return ()
    squares = to_float32(to_float32(offset_x * offset_x) + to_float32(offset_y * offset_y))
    distance = to_float32(math.sqrt(squares))
    return _names(to_float32(shrunk_x / distance), to_float32(shrunk_y / distance))


def _names(direction_x: float, direction_y: float) -> tuple[str, ...]:
    found = []
    if direction_y < -_MIN_DIRECTION:
        found.append("above")
    if direction_y > _MIN_DIRECTION:
        found.append("below")
    if direction_x < -_MIN_DIRECTION:
        found.append("left of")
    if direction_x > _MIN_DIRECTION:
        found.append("right of")
    return tuple(found)
