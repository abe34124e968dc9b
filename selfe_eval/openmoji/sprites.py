"""The sprite bank: every class in its natural colours and in ten others, at every size, as one flat tensor.

Legend: V = 80 x 11 variants (class-major; 0 = natural, 1..10 = COLORS), S sprite size in px.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import resvg_py
import torch
from PIL import Image
from torch import Tensor

from selfe_eval.openmoji.classes import picture
from selfe_eval.openmoji.palette import recolor
from selfe_eval.records import COLORS
from selfe_eval.suites.vocabulary import CLASSES

SIZES_PX = (20, 24, 28, 32, 40, 48)
"""Side of the square that an object's longer side fills."""

VARIANTS_PER_CLASS = 1 + len(COLORS)

_RENDER_PX = 192
_MARGIN = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class SpriteBank:
    """All sprites, packed one after another."""

    pixels: Tensor
    """uint8 (N, 4): straight RGBA of every pixel of every sprite; by size as in SIZES_PX, variant, row."""
    offsets: Tensor
    """int64 (len(SIZES_PX),): where each size starts in ``pixels``."""

    def sprite(self, class_index: int, color_index: int, size_index: int) -> Tensor:
        """One sprite, uint8 (S, S, 4); ``color_index`` -1 is natural."""
        side = SIZES_PX[size_index]
        variant = class_index * VARIANTS_PER_CLASS + color_index + 1
        start = int(self.offsets[size_index]) + variant * side * side
        return self.pixels[start : start + side * side].view(side, side, 4)

    def to(self, device: torch.device | str) -> SpriteBank:
        """The bank on another device."""
        return SpriteBank(pixels=self.pixels.to(device), offsets=self.offsets.to(device))


@lru_cache(maxsize=1)
def load_sprite_bank() -> SpriteBank:
    """Render all 80 x 11 pictures at all sizes; a few seconds on one core, then kept in memory."""
    by_size: list[list[np.ndarray]] = [[] for _ in SIZES_PX]
    for name in CLASSES:
        natural = picture(name)
        box = ink_box(_rasterise(natural))
        for svg in (natural, *(recolor(natural, color) for color in COLORS)):
            for sprites, sprite in zip(by_size, _at_all_sizes(_rasterise(svg), box), strict=True):
                sprites.append(sprite)
    flat = [np.stack(sprites).reshape(-1, 4) for sprites in by_size]
    offsets = np.cumsum([0, *(len(part) for part in flat[:-1])])
    return SpriteBank(pixels=torch.from_numpy(np.concatenate(flat)), offsets=torch.from_numpy(offsets))


def ink_box(image: Image.Image) -> tuple[int, int, int, int]:
    """The square around everything visible, with a small margin; it may reach outside the picture."""
    visible = image.getchannel("A").point(lambda alpha: 255 if alpha > 8 else 0).getbbox()
    left, top, right, bottom = visible or (0, 0, *image.size)
    half = max(right - left, bottom - top) * (0.5 + _MARGIN)
    x, y = (left + right) / 2, (top + bottom) / 2
    return round(x - half), round(y - half), round(x + half), round(y + half)


def _rasterise(svg: str) -> Image.Image:
    png = resvg_py.svg_to_bytes(svg_string=svg, width=_RENDER_PX, height=_RENDER_PX)
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


def _at_all_sizes(image: Image.Image, box: tuple[int, int, int, int]) -> list[np.ndarray]:
    premultiplied = image.crop(box).convert("RGBa")
    return [
        np.asarray(premultiplied.resize((side, side), Image.Resampling.BOX).convert("RGBA"))
        for side in SIZES_PX
    ]
