"""From the network's maps to detections: peaks, suppression, masks. No weights, no files.

A box is a peak of the centre map (3 x 3 neighbourhood), its score the probability of a centre times the
probability of its best class; overlapping boxes of any class are suppressed by the better one, because one
object must not count twice.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import batched_nms  # type: ignore[import-untyped]

from selfe_eval.score.detectors.openmoji_network import IMAGE_PX, RawOutput, boxes_from_edges
from selfe_eval.score.detectors.protocol import Detections

MAX_PEAKS = 16
"""Peaks looked at in an image; a 64 px scene holds at most four objects."""
MIN_SCORE = 0.02
"""Weaker peaks are dropped before anything else; far below every threshold in use."""
MAX_IOU = 0.5
"""Of two boxes that overlap more, the weaker one goes."""


def decode(raw: RawOutput) -> list[Detections]:
    """Decide what is in each image.

    Args:
        raw: The network's output for B images, on any device, any float type.

    Returns:
        B detections, most confident object first; boxes in whole pixels inside the image.
    """
    heat = torch.sigmoid(raw.centers.float())
    is_peak = functional.max_pool2d(heat[:, None], 3, stride=1, padding=1)[:, 0] == heat
    peaks, cells = torch.where(is_peak, heat, 0.0).flatten(1).topk(MAX_PEAKS, dim=1)
    probabilities = torch.softmax(_at(raw.classes.float(), cells), dim=-1)
    best, class_index = probabilities.max(dim=-1)
    scores = peaks * best
    boxes = _at(boxes_from_edges(raw.edges.float()), cells).round().clamp(0, IMAGE_PX)
    image_index = torch.arange(len(heat), device=heat.device)[:, None].expand_as(scores)
    has_area = (boxes[..., 2:] > boxes[..., :2]).all(dim=-1)
    usable = (scores > MIN_SCORE) & has_area
    kept = batched_nms(boxes[usable], scores[usable], image_index[usable], MAX_IOU)
    rows = torch.nonzero(usable)[kept]
    images, slots = rows[:, 0], rows[:, 1]
    coefficients = _at(raw.coefficients.float(), cells)[images, slots]
    masks = object_masks(raw.prototypes.float()[images], coefficients, boxes[images, slots])
    return _split(
        len(heat), images, class_index[images, slots], boxes[images, slots], scores[images, slots], masks
    )


def object_masks(prototypes_NKPP: Tensor, coefficients_NK: Tensor, boxes_N4: Tensor) -> Tensor:  # noqa: N803 (shape suffixes)
    """Masks of N objects: (N, 64, 64) bool, empty outside the box."""
    logits = torch.einsum("nk,nkij->nij", coefficients_NK, prototypes_NKPP)
    logits = functional.interpolate(
        logits[:, None], size=(IMAGE_PX, IMAGE_PX), mode="bilinear", align_corners=False
    )[:, 0]
    return (logits > 0) & inside(boxes_N4)


def inside(boxes_N4: Tensor) -> Tensor:  # noqa: N803 (shape suffixes)
    """The pixels whose centre lies in the box: (N, 4) px -> (N, 64, 64) bool."""
    axis = torch.arange(IMAGE_PX, device=boxes_N4.device) + 0.5
    left, top, right, bottom = boxes_N4.unbind(dim=1)
    columns = (axis >= left[:, None]) & (axis < right[:, None])
    rows = (axis >= top[:, None]) & (axis < bottom[:, None])
    return rows[:, :, None] & columns[:, None, :]


def _at(maps: Tensor, cells: Tensor) -> Tensor:
    """Values of (B, C, G, G) maps at (B, N) flat cells: (B, N, C)."""
    flat = maps.flatten(2).transpose(1, 2)
    return flat.gather(1, cells[..., None].expand(-1, -1, flat.shape[-1]))


def _split(
    num_images: int, images: Tensor, class_index: Tensor, boxes: Tensor, scores: Tensor, masks: Tensor
) -> list[Detections]:
    """One ``Detections`` for each image; objects whose mask is empty are none (as in the reference)."""
    owner = images.cpu().numpy()
    arrays = [tensor.cpu().numpy() for tensor in (class_index, boxes, scores, masks)]
    filled = arrays[3].any(axis=(1, 2))
    found = []
    for image in range(num_images):
        rows = np.flatnonzero((owner == image) & filled)
        rows = rows[np.argsort(-arrays[2][rows], kind="stable")]
        found.append(
            Detections(
                class_index=arrays[0][rows].astype(np.int64),
                boxes=arrays[1][rows].astype(np.float32),
                scores=arrays[2][rows].astype(np.float32),
                masks=arrays[3][rows],
            )
        )
    return found
