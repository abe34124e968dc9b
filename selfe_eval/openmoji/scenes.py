"""Scenes: what stands where, drawn and measured by tensor operations.

Legend: B scenes, O object slots, S sprite size, 64 x 64 px. Objects never overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from selfe_eval.openmoji.sprites import SIZES_PX, VARIANTS_PER_CLASS, SpriteBank

SCENE_PX = 64
NUM_SLOTS = 4

_SIDES = torch.tensor(SIZES_PX)


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneBatch:
    """B scenes of up to O objects; all tensors on one device."""

    class_index: Tensor
    """int64 (B, O), into CLASSES; -1 is an empty slot."""
    color_index: Tensor
    """int64 (B, O), into COLORS; -1 is the picture's natural colours."""
    size_index: Tensor
    """int64 (B, O), into SIZES_PX."""
    corner_xy: Tensor
    """int64 (B, O, 2): left and top of the sprite's square, px."""
    background: Tensor
    """uint8 (B, 3), RGB."""

    def to(self, device: torch.device | str) -> SceneBatch:
        """The batch on another device."""
        return SceneBatch(
            class_index=self.class_index.to(device),
            color_index=self.color_index.to(device),
            size_index=self.size_index.to(device),
            corner_xy=self.corner_xy.to(device),
            background=self.background.to(device),
        )

    def __len__(self) -> int:
        return len(self.class_index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What is visible in a batch of scenes."""

    boxes: Tensor
    """float32 (B, O, 4): tight x0, y0, x1, y1 in px, right and bottom exclusive; zeros for empty slots."""
    masks: Tensor
    """bool (B, O, 64, 64): pixels more than half covered by the object."""


def render(bank: SpriteBank, scenes: SceneBatch) -> Tensor:
    """Draw the scenes: uint8 (B, 3, 64, 64), RGB."""
    canvas = scenes.background.float()[:, None, None, :].expand(-1, SCENE_PX, SCENE_PX, -1)
    for slot in range(scenes.class_index.shape[1]):
        rows = (scenes.class_index[:, slot] >= 0).nonzero().squeeze(1)
        rgba = _pasted(bank, scenes, slot, rows).float()
        alpha = rgba[..., 3:] / 255.0
        canvas = canvas.index_copy(0, rows, torch.lerp(canvas[rows], rgba[..., :3], alpha))
    return canvas.round().to(torch.uint8).permute(0, 3, 1, 2).contiguous()


def truth(bank: SpriteBank, scenes: SceneBatch) -> Truth:
    """Boxes and masks of every slot."""
    batch, slots = scenes.class_index.shape
    masks = torch.zeros(batch, slots, SCENE_PX, SCENE_PX, dtype=torch.bool, device=scenes.class_index.device)
    for slot in range(slots):
        rows = (scenes.class_index[:, slot] >= 0).nonzero().squeeze(1)
        masks[rows, slot] = _pasted(bank, scenes, slot, rows)[..., 3] > 127
    return Truth(boxes=tight_boxes(masks), masks=masks)


def tight_boxes(masks: Tensor) -> Tensor:
    """Masks (..., H, W) -> boxes (..., 4) float32, right and bottom exclusive; zeros for an empty mask."""
    along_x, along_y = masks.any(dim=-2), masks.any(dim=-1)
    first_x, first_y = along_x.int().argmax(-1), along_y.int().argmax(-1)
    last_x = masks.shape[-1] - along_x.flip(-1).int().argmax(-1)
    last_y = masks.shape[-2] - along_y.flip(-1).int().argmax(-1)
    boxes = torch.stack([first_x, first_y, last_x, last_y], dim=-1).float()
    return boxes * along_x.any(dim=-1, keepdim=True)


def _pasted(bank: SpriteBank, scenes: SceneBatch, slot: int, rows: Tensor) -> Tensor:
    """uint8 RGBA (R, 64, 64, 4) of one slot on an empty canvas, for some rows of the batch."""
    device = rows.device
    size = scenes.size_index[rows, slot]
    side = _SIDES.to(device)[size]
    pixel = torch.arange(SCENE_PX, device=device)
    dx = pixel[None, :] - scenes.corner_xy[rows, slot, 0, None]
    dy = pixel[None, :] - scenes.corner_xy[rows, slot, 1, None]
    inside_x, inside_y = (dx >= 0) & (dx < side[:, None]), (dy >= 0) & (dy < side[:, None])
    variant = scenes.class_index[rows, slot] * VARIANTS_PER_CLASS + scenes.color_index[rows, slot] + 1
    start = bank.offsets[size] + variant * side * side
    row_start = start[:, None] + dy * side[:, None]
    index = torch.where(inside_y, row_start, 0)[:, :, None] + torch.where(inside_x, dx, 0)[:, None, :]
    inside = inside_y[:, :, None] & inside_x[:, None, :]
    packed = bank.pixels.view(torch.int32).squeeze(1)  # one 32-bit read for each pixel instead of four
    rgba = packed.index_select(0, index.flatten()) * inside.flatten()
    return rgba.view(torch.uint8).view(len(rows), SCENE_PX, SCENE_PX, 4)
