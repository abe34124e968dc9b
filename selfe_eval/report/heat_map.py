"""A small heat map as PNG: a grid of numbers, each written into its coloured cell. It only draws."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from PIL import Image, ImageDraw, ImageFont

_CELL_PX = (110, 56)
_LABEL_PX = 110
_TOP_PX = 20
_MARGIN_PX = 12
_FONT_PX = 13
_PAPER, _INK, _EMPTY, _FRAME = "#ffffff", "#202020", "#e6e6e6", "#d81b60"
_COLORS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
"""Dark to light with even steps of lightness (five colours of matplotlib's viridis), low to high."""

Rgb = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatCell:
    """One cell of the map."""

    value: float | None
    """Decides the colour; None stays grey."""
    text: str
    """What is written into it."""
    is_framed: bool = False
    """Whether it is marked."""


def heat_map(
    title: str, row_labels: Sequence[str], column_labels: Sequence[str], cells: Sequence[Sequence[HeatCell]]
) -> bytes:
    """The map as a PNG file; the colours run from the least to the greatest value that is shown.

    Args:
        title: What is shown; lines are kept.
        row_labels: R of them.
        column_labels: C of them.
        cells: R rows of C cells.
    """
    width, height = _CELL_PX
    size = (
        max(_LABEL_PX + len(column_labels) * width, 460) + 2 * _MARGIN_PX,
        _TOP_PX + (len(row_labels) + 1) * height + _MARGIN_PX,
    )
    sheet = Image.new("RGB", size, _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT_PX)
    pen.multiline_text((_MARGIN_PX, _MARGIN_PX), title, fill=_INK, font=font)
    values = [cell.value for row in cells for cell in row if cell.value is not None]
    low, high = (min(values), max(values)) if values else (0.0, 0.0)
    for column, label in enumerate(column_labels):
        centre = _MARGIN_PX + _LABEL_PX + column * width + width // 2
        pen.text((centre, _TOP_PX + height - 8), label, fill=_INK, font=font, anchor="ms")
    for row, (label, line) in enumerate(zip(row_labels, cells, strict=True)):
        top = _TOP_PX + (row + 1) * height
        pen.text((_MARGIN_PX, top + height // 2), label, fill=_INK, font=font, anchor="lm")
        for column, cell in enumerate(line):
            left = _MARGIN_PX + _LABEL_PX + column * width
            _draw_cell(pen, cell, (left, top), color_between(cell.value, low, high))
    stream = io.BytesIO()
    sheet.save(stream, format="PNG")
    return stream.getvalue()


def color_between(value: float | None, low: float, high: float) -> Rgb | None:
    """The colour of a value on the scale from low to high; the middle one where they are equal; None for no value.

    >>> color_between(0.0, 0.0, 1.0), color_between(1.0, 0.0, 1.0), color_between(3.0, 3.0, 3.0)
    ((68, 1, 84), (253, 231, 37), (33, 145, 140))
    """
    if value is None:
        return None
    place = (0.5 if high <= low else (value - low) / (high - low)) * (len(_COLORS) - 1)
    for number, (first, second) in enumerate(pairwise(_COLORS)):
        if place <= number + 1:
            share = place - number
            red, green, blue = (round(a + share * (b - a)) for a, b in zip(first, second, strict=True))
            return red, green, blue
    return _COLORS[-1]


def _draw_cell(pen: ImageDraw.ImageDraw, cell: HeatCell, corner: tuple[int, int], color: Rgb | None) -> None:
    (left, top), (width, height) = corner, _CELL_PX
    pen.rectangle((left, top, left + width - 1, top + height - 1), fill=color or _EMPTY, outline=_PAPER)
    if cell.is_framed:
        pen.rectangle((left + 2, top + 2, left + width - 4, top + height - 4), outline=_FRAME, width=3)
    is_dark = color is not None and 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] < 140
    font = ImageFont.load_default(_FONT_PX)
    centre = (left + width // 2, top + height // 2)
    pen.text(centre, cell.text, fill=_PAPER if is_dark else _INK, font=font, anchor="mm")
