"""Pictures in rows and labelled columns, as one PNG; it only draws."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_PICTURE_PX = 128
_LABEL_PX = 190
_LABEL_COLUMNS = 26
_GAP_PX = 8
_LINE_PX = 17
_FONT_PX = 13
_PAPER, _INK = "#ffffff", "#202020"


def picture_grid(
    title: str, column_labels: Sequence[str], rows: Sequence[tuple[str, Sequence[NDArray[np.uint8]]]]
) -> bytes:
    """The grid as a PNG file; each picture is enlarged to its place with hard pixels.

    Args:
        title: Stands above it, wrapped to its width.
        column_labels: C of them.
        rows: (label, C pictures (H, W, 3) uint8).
    """
    pitch = _PICTURE_PX + _GAP_PX
    width = _LABEL_PX + len(column_labels) * pitch + _GAP_PX
    lines = textwrap.wrap(title, width // 7)
    top = _GAP_PX + (len(lines) + 1) * _LINE_PX + _GAP_PX
    sheet = Image.new("RGB", (width, top + len(rows) * pitch), _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT_PX)
    for number, line in enumerate(lines):
        pen.text((_GAP_PX, _GAP_PX + number * _LINE_PX), line, fill=_INK, font=font)
    for column, label in enumerate(column_labels):
        centre = _LABEL_PX + column * pitch + _PICTURE_PX // 2
        pen.text((centre, top - 4), label, fill=_INK, font=font, anchor="ms")
    for row, (label, pictures) in enumerate(rows):
        corner = (_GAP_PX, top + row * pitch + 4)
        pen.multiline_text(corner, textwrap.fill(label, _LABEL_COLUMNS), fill=_INK, font=font)
        for column, pixels in enumerate(pictures):
            drawn = Image.fromarray(pixels).resize((_PICTURE_PX, _PICTURE_PX), Image.Resampling.NEAREST)
            sheet.paste(drawn, (_LABEL_PX + column * pitch, top + row * pitch))
    stream = io.BytesIO()
    sheet.save(stream, format="PNG")
    return stream.getvalue()
