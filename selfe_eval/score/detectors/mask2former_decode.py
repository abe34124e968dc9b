"""From Mask2Former's logits to detections, by the reference's rule; the same for every backend.

A detection is a (query, class) pair: its score is the class probability times the mean probability inside the
query's mask, so it is never above the class probability. Pairs whose probability does not exceed the floor are
dropped before their masks are enlarged; of the rest, each query's mask is enlarged once for all its classes.
Neither changes a bit of what remains: masks do not depend on each other, and their sums are exact.

Not transformers' ``post_process_instance_segmentation``, which scores masks at 384 x 384 px, enlarges them by
nearest neighbour, drops detections and gives no boxes.

Source: mmdet 2.27 to 3.3, ``MaskFormerFusionHead.instance_postprocess``, as called by djghosh13/geneval at af4902f.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from selfe_eval.score.detectors.mask2former_input import PreparedImages
from selfe_eval.score.detectors.protocol import Detections

NUM_CLASSES = 80
MAX_DETECTIONS = 100
"""(query, class) pairs looked at in an image."""
GPU_CHUNK_PX = 2**25
"""Mask pixels enlarged at once on a GPU (128 MiB in float32); on a CPU it is one mask, which stays in the cache."""


class _Pairs(NamedTuple):
    """The (query, class) pairs of one image that may score above the floor, most probable first."""

    probability: NDArray[np.float32]
    query: NDArray[np.int64]
    class_index: NDArray[np.int64]


class _Regions(NamedTuple):
    """The masks of K queries at the image's own size."""

    masks: Tensor
    """(K, h, w) bool."""
    boxes: Tensor
    """(K, 4) float32: tight, right and bottom exclusive; zeros for an empty mask."""
    certainty: Tensor
    """(K,) float32: mean probability inside the mask, in [0, 1]; zero for an empty mask."""


def decode(
    class_logits: Tensor, mask_logits: Tensor, prepared: PreparedImages, *, floor: float = 0.0
) -> list[Detections]:
    """Decide what is in each image.

    Args:
        class_logits: (B, Q, 81), the last class being "no object".
        mask_logits: (B, Q, H', W'), of the padded input at any smaller size.
        prepared: The input that the logits belong to.
        floor: Detections that score at most this much are left out; at 0 nothing is, not even empty masks.

    Returns:
        B detections, highest class probability first.
    """
    probabilities = torch.softmax(class_logits.float(), dim=-1)[..., :NUM_CLASSES]
    best, places = probabilities.flatten(1).topk(MAX_DETECTIONS, dim=1)
    found = []
    for row, place, masks in zip(best.cpu().numpy(), places.cpu().numpy(), mask_logits, strict=True):
        hopeful = _above(row, floor)
        pairs = _Pairs(row[hopeful], place[hopeful] // NUM_CLASSES, place[hopeful] % NUM_CLASSES)
        found.append(_decode_image(pairs, masks.float(), prepared, floor))
    return found


def _decode_image(pairs: _Pairs, mask_logits: Tensor, prepared: PreparedImages, floor: float) -> Detections:
    queries, first, slot = np.unique(pairs.query, return_index=True, return_inverse=True)
    boxes = np.zeros((len(queries), 4), np.float32)
    certainty = np.zeros(len(queries), np.float32)
    masks: dict[int, NDArray[np.bool_]] = {}
    masks_at_once = _masks_at_once(mask_logits.device, prepared)
    for chunk, regions in _enlarged(mask_logits, queries, prepared, masks_at_once):
        boxes[chunk] = regions.boxes.cpu().numpy()
        certainty[chunk] = regions.certainty.cpu().numpy()
        wanted = np.flatnonzero(_above(pairs.probability[first[chunk]] * certainty[chunk], floor))
        fetched = regions.masks[torch.from_numpy(wanted).to(regions.masks.device)].cpu().numpy()
        masks |= {chunk.start + int(index): mask for index, mask in zip(wanted, fetched, strict=True)}
    scores = pairs.probability * certainty[slot]
    kept = _above(scores, floor)
    slot = slot[kept]
    return Detections(
        class_index=pairs.class_index[kept],
        boxes=boxes[slot],
        scores=scores[kept],
        masks=np.stack([masks[index] for index in slot])
        if len(slot)
        else np.zeros((0, *prepared.original), bool),
    )


def _above(values: NDArray[np.float32], floor: float) -> NDArray[np.bool_]:
    """What scores more than the floor; a floor of 0 leaves out nothing."""
    return values > np.float32(floor) if floor > 0 else np.ones(len(values), bool)


def _masks_at_once(device: torch.device, prepared: PreparedImages) -> int:
    padded = prepared.pixels.shape[-2] * prepared.pixels.shape[-1]
    largest = max(padded, prepared.original[0] * prepared.original[1])
    return 1 if device.type == "cpu" else max(1, GPU_CHUNK_PX // largest)


def _enlarged(
    mask_logits: Tensor, queries: NDArray[np.int64], prepared: PreparedImages, masks_at_once: int
) -> Iterator[tuple[slice, _Regions]]:
    """The regions of some queries, chunk by chunk, and which of the queries they are."""
    padded = tuple(prepared.pixels.shape[-2:])
    height, width = prepared.resized
    for start in range(0, len(queries), masks_at_once):
        chunk = slice(start, start + masks_at_once)
        chosen = torch.from_numpy(queries[chunk]).to(mask_logits.device)
        logits = _bilinear(mask_logits[chosen][:, None], padded)[..., :height, :width]
        yield chunk, _regions(_bilinear(logits, prepared.original)[:, 0])


def _bilinear(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    return functional.interpolate(maps, size=size, mode="bilinear", align_corners=False)


def _regions(logits: Tensor) -> _Regions:
    """Masks, boxes and certainties from (K, h, w) logits.

    The sum over a mask runs over float32 numbers of at least a half in float64, where it is exact: it does not
    depend on the order, hence not on the device or on how many masks are summed together.
    """
    masks = logits > 0
    inside = torch.where(masks, torch.sigmoid(logits), 0.0).sum(dim=(1, 2), dtype=torch.float64)
    certainty = inside.float() / (masks.sum(dim=(1, 2)).float() + 1e-6)
    left, right = _extent(masks.any(dim=1))
    top, bottom = _extent(masks.any(dim=2))
    boxes = torch.stack([left, top, right, bottom], dim=1).float()
    return _Regions(masks, torch.where((right > left)[:, None], boxes, 0.0), certainty)


def _extent(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """First and one past the last true place of each row of (K, n); (n, 0) for a row without any."""
    places = torch.arange(occupied.shape[1], device=occupied.device)
    first = torch.where(occupied, places, len(places)).amin(dim=1)
    end = torch.where(occupied, places + 1, 0).amax(dim=1)
    return first, end
