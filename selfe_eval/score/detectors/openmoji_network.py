"""The bundled detector's network: a small one-stage detector for 64 px scenes, in plain PyTorch.

Traded away: scale. One grid of 16 x 16 cells (stride 4) serves every object, because objects of the openmoji
world are 20 to 48 px wide and never closer than a sprite; the masks live at stride 2.
A cell answers three questions: is the centre of an object here, which class is it (a softmax, so that two
similar classes cannot both fire at one place), and how far are its edges. Masks are linear combinations of
shared prototypes (YOLACT, arXiv 1904.02689); centres are trained as in CenterNet (arXiv 1904.07850).

Shape suffixes: B batch, C channels, H W pixels, G = 16 cells a side, P = 32 mask pixels a side, K prototypes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

IMAGE_PX = 64
CELL_PX = 4
MASK_PX = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOptions:
    """Widths of the network; recorded in the checkpoint's config.json."""

    fine_width: int = 32
    """Channels at 32 x 32."""
    middle_width: int = 80
    """Channels at 16 x 16, where objects are found."""
    coarse_width: int = 144
    """Channels at 8 x 8, where objects are named."""
    num_prototypes: int = 12
    """Mask prototypes."""
    num_classes: int = 80
    """GenEval's classes."""


class RawOutput(NamedTuple):
    """What the network says, before any decision."""

    centers: Tensor
    """(B, G, G) logit that an object's centre lies in this cell."""
    classes: Tensor
    """(B, 80, G, G) class logits; they mean something only where there is a centre."""
    edges: Tensor
    """(B, 4, G, G) distance from the cell's centre to the left, top, right, bottom edge, px, > 0."""
    coefficients: Tensor
    """(B, K, G, G) weights of the prototypes."""
    prototypes: Tensor
    """(B, K, P, P)."""


def _convolution(num_in: int, num_out: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(num_in, num_out, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(num_out),
        nn.ReLU(inplace=True),
    )


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _convolution(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.second(self.first(x)))


class OpenmojiNetwork(nn.Module):
    """RGB (B, 3, 64, 64) in [0, 1] -> RawOutput."""

    def __init__(self, options: NetworkOptions) -> None:
        super().__init__()
        fine, middle, coarse = options.fine_width, options.middle_width, options.coarse_width
        self.options = options
        self.stem = _convolution(12, fine)
        self.fine = _Residual(fine)
        self.to_middle = _convolution(fine, middle, stride=2)
        self.middle = nn.Sequential(_Residual(middle), _Residual(middle))
        self.to_coarse = _convolution(middle, coarse, stride=2)
        self.coarse = nn.Sequential(_Residual(coarse), _Residual(coarse))
        self.from_coarse = nn.Conv2d(coarse, middle, 1)
        self.merged = _Residual(middle)
        self.place = _convolution(middle, fine)
        self.center = nn.Conv2d(fine, 1, 1)
        self.edge = nn.Conv2d(fine, 4, 1)
        self.coefficient = nn.Conv2d(fine, options.num_prototypes, 1)
        self.name = _convolution(coarse, coarse)
        self.class_logits = nn.Conv2d(coarse, options.num_classes, 1)
        self.from_merged = nn.Conv2d(middle, fine, 1)
        self.outline = _convolution(fine, fine)
        self.prototype = nn.Conv2d(fine, options.num_prototypes, 1)
        nn.init.constant_(self.center.bias, -4.0)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> RawOutput:
        """Run the network.

        Args:
            images: (B, 3, 64, 64) RGB in [0, 1].
        """
        # Pixels are folded 2 x 2 into channels: the same information at a quarter of the positions.
        x_fine = self.fine(self.stem(functional.pixel_unshuffle(images * 2 - 1, 2)))
        x_middle = self.middle(self.to_middle(x_fine))
        x_coarse = self.coarse(self.to_coarse(x_middle))
        x_merged = self.merged(
            x_middle + functional.interpolate(self.from_coarse(x_coarse), scale_factor=2.0)
        )
        place = self.place(x_merged)
        outline = self.outline(x_fine + functional.interpolate(self.from_merged(x_merged), scale_factor=2.0))
        return RawOutput(
            centers=self.center(place)[:, 0],
            classes=functional.interpolate(
                self.class_logits(self.name(x_coarse)), scale_factor=2.0, mode="bilinear"
            ),
            edges=functional.softplus(self.edge(place).float()) * CELL_PX,
            coefficients=self.coefficient(place),
            prototypes=self.prototype(outline),
        )


def cell_centers(device: torch.device | str = "cpu") -> Tensor:
    """Pixel coordinates of the cells' centres: (2, G, G) float32, x then y."""
    axis = (torch.arange(IMAGE_PX // CELL_PX, device=device, dtype=torch.float32) + 0.5) * CELL_PX
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack((x, y))


def boxes_from_edges(edges: Tensor) -> Tensor:
    """Turn distances to the four edges into boxes: (B, 4, G, G) px -> (B, 4, G, G) x0 y0 x1 y1 px."""
    centers = cell_centers(edges.device)
    return torch.cat((centers - edges[:, :2], centers + edges[:, 2:]), dim=1)
