"""GenEval's ten colours as paint, and the recolouring of an SVG picture: fills change, outlines stay."""

from __future__ import annotations

import re

from selfe_eval.records import COLORS

PAINT = {
    "red": (216, 30, 36),
    "orange": (247, 140, 20),
    "yellow": (252, 226, 42),
    "green": (52, 160, 60),
    "blue": (42, 98, 222),
    "purple": (128, 52, 172),
    "pink": (252, 150, 196),
    "brown": (122, 74, 38),
    "black": (44, 44, 46),
    "white": (252, 252, 252),
}
"""RGB of each colour at the middle lightness of a picture."""

BACKGROUNDS = (
    (236, 236, 236),
    (222, 222, 224),
    (226, 234, 242),
    (242, 234, 222),
    (228, 240, 230),
    (240, 228, 236),
)
"""RGB of the light tints behind a scene."""

DARKEST, LIGHTEST = 0.16, 0.20
"""How far a shade moves towards black or white for the darkest and the lightest fill of a picture."""

_PAINTED = re.compile(r'(fill|stroke)="(#[0-9a-fA-F]{3,6})"')


def recolor(svg: str, color: str) -> str:
    """The picture with every fill and coloured stroke as a shade of ``color``; black lines and ``none`` stay.

    Shades follow the luminance of the original fill, within a band narrow enough that the colour stays
    unmistakable.
    """
    if color not in COLORS:
        raise ValueError(f"Expected one of {', '.join(COLORS)}; got {color!r}.")

    def paint(match: re.Match[str]) -> str:
        attribute, code = match.groups()
        rgb = _parse(code)
        if max(rgb) == 0:
            return match.group(0)
        return f'{attribute}="{_hex(_shade(PAINT[color], _luminance(rgb)))}"'

    return _PAINTED.sub(paint, svg)


def _parse(code: str) -> tuple[int, int, int]:
    digits = code[1:]
    if len(digits) == 3:
        digits = "".join(2 * digit for digit in digits)
    return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:6], 16)


def _hex(rgb: tuple[int, int, int]) -> str:
    return "#" + "".join(f"{channel:02x}" for channel in rgb)


def _luminance(rgb: tuple[int, int, int]) -> float:
    """Rec. 709 luma in [0, 1]."""
    return (0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2]) / 255.0


def _shade(paint: tuple[int, int, int], luminance: float) -> tuple[int, int, int]:
    towards = 0.0 if luminance < 0.5 else 255.0
    amount = abs(2.0 * luminance - 1.0) * (DARKEST if luminance < 0.5 else LIGHTEST)
    red, green, blue = (round(channel + (towards - channel) * amount) for channel in paint)
    return red, green, blue
