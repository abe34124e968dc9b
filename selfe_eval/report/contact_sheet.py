"""A sheet of judged pictures to look at: each with the boxes of what was found in it, its prompt and its reason.

Only draws; which pictures and which boxes is the caller's choice. Pictures keep their pixels where they are
enlarged, so that what a 64 px detector saw is what one sees.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

PICTURE_PX = 256
"""Longest side of a picture on the sheet, where it is a whole multiple; smaller ones may fall short of it."""

COLUMNS = 4
_MARGIN_PX = 12
_FONT_PX = 12
_LINE_PX = 15
_TEXT_COLUMNS = 42
"""Characters of `_FONT_PX` that fit `PICTURE_PX`."""
_MAX_LINES = 6
"""Of a prompt, and of a reason: rewritten prompts can be long."""

_PAPER, _INK, _FAULT, _WEAK = "#ffffff", "#202020", "#b00020", "#8a8a8a"
_CLASS_COLORS = ("#d81b60", "#1e88e5", "#f57c00", "#00897b", "#8e24aa", "#6d4c41")
"""Of the boxes of the first, second, ... class of a picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A box on a picture."""

    class_name: str
    """What was found."""
    score: float
    """With which confidence."""
    color: str | None
    """In which colour, where that was asked."""
    box: tuple[float, float, float, float]
    """(x0, y0, x1, y1) in pixels of the picture, right and bottom exclusive."""
    counts: bool
    """Whether it passed the threshold; others are drawn in grey."""

    @property
    def label(self) -> str:
        """Class, score and colour."""
        return f"{self.class_name} {self.score:.2f} {self.color or ''}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JudgedPicture:
    """One place on the sheet."""

    pixels: NDArray[np.uint8]
    """(H, W, 3) uint8 in [0, 255], red, green, blue."""
    marks: Sequence[Mark]
    """What was found; those that count are drawn last."""
    heading: str
    """Which picture it is."""
    prompt: str
    """What was asked."""
    reason: str
    """What is wrong with it, one sentence a line."""


def contact_sheet(pictures: Iterable[JudgedPicture]) -> bytes:
    """The sheet as a PNG file, `COLUMNS` pictures a row, in the given order.

    Args:
        pictures: At least one, of any sizes; each is reduced to its place before the next one is asked for.
    """
    cells = [_cell(picture) for picture in pictures]
    rows = [cells[start : start + COLUMNS] for start in range(0, len(cells), COLUMNS)]
    heights = [max(cell.height for cell in row) + _MARGIN_PX for row in rows]
    width = max(map(len, rows)) * (PICTURE_PX + _MARGIN_PX) + _MARGIN_PX
    sheet = Image.new("RGB", (width, sum(heights) + _MARGIN_PX), _PAPER)
    top = _MARGIN_PX
    for row, height in zip(rows, heights, strict=True):
        for column, cell in enumerate(row):
            sheet.paste(cell, (_MARGIN_PX + column * (PICTURE_PX + _MARGIN_PX), top))
        top += height
    stream = io.BytesIO()
    sheet.save(stream, format="PNG")
    return stream.getvalue()


def scale(height: int, width: int) -> float:
    """By how much a picture is enlarged, a whole number, or reduced to fit its place.

    >>> scale(64, 64), scale(100, 80), scale(512, 1024)
    (4.0, 2.0, 0.25)
    """
    fitting = PICTURE_PX / max(height, width)
    return float(int(fitting)) if fitting >= 1 else fitting


def _cell(picture: JudgedPicture) -> Image.Image:
    drawn = _marked(picture)
    lines = [
        (picture.heading, _WEAK),
        *((line, _INK) for line in _wrapped(picture.prompt)),
        *((line, _FAULT) for sentence in picture.reason.splitlines() for line in _wrapped(sentence)),
    ]
    cell = Image.new("RGB", (PICTURE_PX, drawn.height + (len(lines) + 1) * _LINE_PX), _PAPER)
    cell.paste(drawn)
    pen, font = ImageDraw.Draw(cell), ImageFont.load_default(_FONT_PX)
    for number, (line, ink) in enumerate(lines):
        pen.text((0, drawn.height + number * _LINE_PX + 3), line, fill=ink, font=font)
    return cell


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _TEXT_COLUMNS, max_lines=_MAX_LINES, placeholder=" ...")


def _marked(picture: JudgedPicture) -> Image.Image:
    height, width = picture.pixels.shape[:2]
    factor = scale(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    method = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.LANCZOS
    drawn = Image.fromarray(picture.pixels).resize(size, method)
    names = list(dict.fromkeys(mark.class_name for mark in picture.marks if mark.counts))
    for mark in sorted(picture.marks, key=lambda mark: mark.counts):
        ink = _CLASS_COLORS[names.index(mark.class_name) % len(_CLASS_COLORS)] if mark.counts else _WEAK
        _draw_mark(drawn, mark, factor, ink)
    return drawn


def _draw_mark(drawn: Image.Image, mark: Mark, factor: float, ink: str) -> None:
    """A frame around the object's pixels, and its label above it, or inside where there is no room."""
    pen, font = ImageDraw.Draw(drawn), ImageFont.load_default(_FONT_PX)
    x0, y0, x1, y1 = (edge * factor for edge in mark.box)
    pen.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=ink, width=2 if mark.counts else 1)
    label_width = pen.textlength(mark.label, font=font) + 4
    left = max(0.0, min(x0, drawn.width - label_width))
    top = y0 - _LINE_PX if y0 >= _LINE_PX else y0
    pen.rectangle((left, top, left + label_width, top + _LINE_PX - 1), fill=ink)
    pen.text((left + 2, top), mark.label, fill=_PAPER, font=font)
