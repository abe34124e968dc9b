"""Against an independent statement of the reference's rule, in which every mask is enlarged, one pair at a time."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from selfe_eval.score.detectors.mask2former_decode import _enlarged, _regions, decode
from selfe_eval.score.detectors.mask2former_input import PreparedImages
from selfe_eval.score.detectors.protocol import Detections

NO_OBJECT = 80


class Expected(NamedTuple):
    class_index: int
    score: float
    box: list[int]
    mask: NDArray[np.bool_]


def _prepared(
    batch: int = 1,
    padded: tuple[int, int] = (64, 96),
    resized: tuple[int, int] = (64, 80),
    original: tuple[int, int] = (48, 60),
) -> PreparedImages:
    return PreparedImages(pixels=torch.zeros(batch, 3, *padded), resized=resized, original=original)


def _random_logits(seed: int, batch: int = 1, num_queries: int = 12) -> tuple[Tensor, Tensor]:
    """Confident classes for some queries, blobs for masks."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randn(batch, num_queries, 81, generator=generator)
    chosen = torch.randint(0, 81, (batch, num_queries), generator=generator)
    strong = torch.rand(batch, num_queries, 1, generator=generator) * 8
    classes += strong * functional.one_hot(chosen, 81)
    coarse = torch.randn(batch, num_queries, 4, 6, generator=generator) * 4 - 1
    return classes, functional.interpolate(coarse, size=(16, 24), mode="bicubic")


def _rule(class_logits: Tensor, mask_logits: Tensor, prepared: PreparedImages) -> list[Expected]:
    """One image, as the reference does it: all masks enlarged, then 100 pairs, one after the other."""
    height, width = prepared.resized
    size = tuple(prepared.pixels.shape[-2:])
    enlarged = functional.interpolate(mask_logits[None], size=size, mode="bilinear", align_corners=False)
    cropped = enlarged[:, :, :height, :width]
    logits = functional.interpolate(cropped, size=prepared.original, mode="bilinear", align_corners=False)[0]
    table = torch.softmax(class_logits, dim=-1)[:, :80].flatten()
    found = []
    for place in torch.argsort(table, descending=True)[:100].tolist():
        query, class_index = divmod(place, 80)
        z = logits[query].double().numpy()
        mask = z > 0
        mean = float((1 / (1 + np.exp(-z)) * mask).sum() / (mask.sum() + 1e-6))
        rows, columns = np.nonzero(mask)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if mask.any() else [0, 0, 0, 0]
        found.append(Expected(class_index, float(table[place]) * mean, list(map(int, box)), mask))
    return found


def _only(found: list[Detections]) -> Detections:
    (detections,) = found
    return detections


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "prepared",
    [
        _prepared(),
        _prepared(padded=(64, 64), resized=(64, 64), original=(64, 64)),
        _prepared(padded=(64, 96), resized=(50, 67), original=(200, 267)),
        _prepared(padded=(32, 64), resized=(32, 41), original=(3, 4)),
    ],
    ids=["padded", "square", "enlarged", "tiny"],
)
def test_decoding_agrees_with_the_rule_written_out(seed: int, prepared: PreparedImages) -> None:
    """Classes, boxes and masks are the rule's; scores agree up to rounding in float32 (1e-6)."""
    class_logits, mask_logits = _random_logits(seed)
    found = _only(decode(class_logits, mask_logits, prepared))
    expected = _rule(class_logits[0], mask_logits[0], prepared)
    assert found.class_index.tolist() == [item.class_index for item in expected]
    assert found.boxes.tolist() == [item.box for item in expected]
    assert np.array_equal(found.masks, np.stack([item.mask for item in expected]))
    assert np.allclose(found.scores, [item.score for item in expected], rtol=0, atol=1e-6)


@given(
    seed=st.integers(0, 2**32 - 1),
    floor=st.floats(0, 1, exclude_min=True, width=32) | st.sampled_from([0.01, 0.05, 0.2, 0.3]),
    batch=st.integers(1, 3),
)
def test_a_floor_leaves_out_exactly_what_does_not_score_above_it(seed: int, floor: float, batch: int) -> None:
    """With a floor, what is found is what scores above it without one: the same bits, in the same order."""
    logits = _random_logits(seed, batch)
    whole = decode(*logits, _prepared(batch))
    for everything, found in zip(whole, decode(*logits, _prepared(batch), floor=floor), strict=True):
        kept = everything.scores > np.float32(floor)
        assert np.array_equal(found.class_index, everything.class_index[kept])
        assert np.array_equal(found.boxes, everything.boxes[kept])
        assert np.array_equal(found.scores, everything.scores[kept])
        assert np.array_equal(found.masks, everything.masks[kept])


def test_a_score_equal_to_the_floor_is_left_out() -> None:
    """The floor itself is not above the floor."""
    logits = _random_logits(1)
    scores = np.sort(_only(decode(*logits, _prepared())).scores)
    found = _only(decode(*logits, _prepared(), floor=float(scores[-3])))
    assert sorted(found.scores.tolist()) == scores[-2:].tolist()


def test_without_a_floor_there_are_a_hundred() -> None:
    """The 100 most probable pairs come back, however weak."""
    assert len(_only(decode(*_random_logits(0), _prepared())).scores) == 100


def test_a_batch_is_decoded_like_its_images_alone() -> None:
    """Images of a batch do not touch each other."""
    classes, masks = _random_logits(5, batch=3)
    together = decode(classes, masks, _prepared(3), floor=0.05)
    for index, found in enumerate(together):
        alone = _only(decode(classes[[index]], masks[[index]], _prepared(), floor=0.05))
        assert np.array_equal(found.scores, alone.scores)
        assert np.array_equal(found.masks, alone.masks)


def test_the_sum_over_a_mask_is_exact() -> None:
    """The mean inside a mask is the exact sum of float32 probabilities, rounded once: no order of adding changes it."""
    logits = torch.randn(3, 257, 263, generator=torch.Generator().manual_seed(0)) * 4
    for one, mask in zip(_regions(logits).certainty, logits, strict=True):
        inside = torch.sigmoid(mask)[mask > 0]
        exact = np.float32(math.fsum(inside.tolist())) / (np.float32(len(inside)) + np.float32(1e-6))
        assert float(one) == float(exact)


@pytest.mark.parametrize("masks_at_once", [2, 5, 12])
def test_masks_can_be_enlarged_together(masks_at_once: int) -> None:
    """As many masks at once as memory allows, as on a GPU, give the same bits as one at a time."""
    _, masks = _random_logits(3)
    queries = np.arange(12)
    alone = [regions for _, regions in _enlarged(masks[0], queries, _prepared(), 1)]
    together = [regions for _, regions in _enlarged(masks[0], queries, _prepared(), masks_at_once)]
    for one, many in zip(zip(*alone, strict=True), zip(*together, strict=True), strict=True):
        assert torch.equal(torch.cat(one), torch.cat(many))


def _certain(classes: dict[int, tuple[int, ...]], num_queries: int = 2) -> Tensor:
    """Queries that are surely one of some classes, equally likely; the others are surely nothing."""
    logits = torch.full((1, num_queries, 81), -30.0)
    logits[0, :, NO_OBJECT] = 30.0
    for query, chosen in classes.items():
        logits[0, query, NO_OBJECT] = -30.0
        logits[0, query, list(chosen)] = 30.0
    return logits


def _block(num_queries: int = 2) -> Tensor:
    """Query 0 covers the left half of a 64 x 96 input, the others nothing."""
    masks = torch.full((1, num_queries, 16, 24), -40.0)
    masks[0, 0, :, :12] = 40.0
    return masks


def test_an_empty_mask_has_no_box_and_no_score() -> None:
    """A query without a pixel keeps its class, scores 0 and has the box of nothing."""
    found = _only(decode(_certain({1: (7,)}), _block(), _prepared()))
    assert found.class_index[0] == 7
    assert found.scores[0] == 0
    assert found.boxes[0].tolist() == [0, 0, 0, 0]
    assert not found.masks[0].any()
    assert len(_only(decode(_certain({1: (7,)}), _block(), _prepared(), floor=0.1)).scores) == 0


def test_one_query_can_be_two_classes() -> None:
    """Both classes of an undecided query come back with the same mask and half the score each."""
    found = _only(decode(_certain({0: (3, 70)}), _block(), _prepared(), floor=0.2))
    assert sorted(found.class_index.tolist()) == [3, 70]
    assert np.allclose(found.scores, 0.5)
    assert np.array_equal(found.masks[0], found.masks[1])
    assert np.array_equal(found.boxes[0], found.boxes[1])


def test_right_and_bottom_are_exclusive() -> None:
    """A mask over the left half of 64 x 96 covers columns 0 to 47 and all rows."""
    prepared = _prepared(resized=(64, 96), original=(64, 96))
    found = _only(decode(_certain({0: (3,)}), _block(), prepared, floor=0.5))
    assert found.boxes.tolist() == [[0, 0, 48, 64]]
    assert found.masks.sum() == 48 * 64


def test_padding_is_cut_off_before_the_mask_is_resized() -> None:
    """The mask covers 48 of the 80 px that are not padding: 36 of 60 px of the image."""
    found = _only(decode(_certain({0: (3,)}), _block(), _prepared(), floor=0.5))
    assert found.boxes.tolist() == [[0, 0, 36, 48]]


def test_nothing_above_the_floor_gives_empty_arrays() -> None:
    """Without a detection the arrays keep their shapes and types."""
    found = _only(decode(_certain({}), _block(), _prepared(), floor=0.5))
    assert found.masks.shape == (0, 48, 60)
    assert found.boxes.shape == (0, 4)
    assert found.masks.dtype == np.bool_
    assert found.scores.dtype == found.boxes.dtype == np.float32
