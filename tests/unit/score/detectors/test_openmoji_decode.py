from __future__ import annotations

import torch
from torch import Tensor

from selfe_eval.score.detectors.openmoji_decode import decode, inside, object_masks
from selfe_eval.score.detectors.openmoji_network import RawOutput, boxes_from_edges, cell_centers

NOTHING = -12.0
"""A centre logit that is no centre."""


def _raw(centers: dict[tuple[int, int], float], edge_px: float = 12.0) -> RawOutput:
    """Output for one image: centre logits at (row, column), everything of class 7, masks everywhere on."""
    heat = torch.full((1, 16, 16), NOTHING)
    for (row, column), logit in centers.items():
        heat[0, row, column] = logit
    classes = torch.zeros(1, 80, 16, 16)
    classes[:, 7] = 20.0
    return RawOutput(
        centers=heat,
        classes=classes,
        edges=torch.full((1, 4, 16, 16), edge_px),
        coefficients=torch.ones(1, 2, 16, 16),
        prototypes=torch.ones(1, 2, 32, 32),
    )


def test_a_peak_becomes_a_box_around_its_cell() -> None:
    """A cell's centre lies at 4 (index + 1/2); the edges are counted from there."""
    (found,) = decode(_raw({(5, 8): 4.0}))
    assert found.boxes.tolist() == [[22.0, 10.0, 46.0, 34.0]]
    assert found.class_index.tolist() == [7]


def test_the_score_is_centre_times_class_probability() -> None:
    """The score is the product of two probabilities, so it lies in [0, 1]."""
    (found,) = decode(_raw({(5, 8): 0.0}))
    assert abs(float(found.scores[0]) - 0.5) < 1e-3


def test_boxes_stay_inside_the_image() -> None:
    """A box that would leave the image is cut at its border."""
    (found,) = decode(_raw({(0, 0): 4.0}))
    assert found.boxes.tolist() == [[0.0, 0.0, 14.0, 14.0]]


def test_masks_stay_inside_their_box() -> None:
    """No mask pixel lies outside the box, and a mask that is on everywhere fills it."""
    (found,) = decode(_raw({(5, 8): 4.0}))
    assert found.masks.shape == (1, 64, 64)
    assert int(found.masks[0, 10:34, 22:46].sum()) == int(found.masks.sum()) == 24 * 24


def test_one_object_counts_once() -> None:
    """Of two peaks whose boxes mostly overlap only the stronger one stays."""
    (found,) = decode(_raw({(5, 6): 3.0, (5, 8): 4.0}, edge_px=14.0))
    assert len(found.scores) == 1
    assert found.boxes[0, 0] == 20.0


def test_objects_side_by_side_are_both_found_best_first() -> None:
    """Separate objects stay, ordered by score."""
    (found,) = decode(_raw({(8, 3): 1.0, (8, 12): 3.0}))
    assert found.boxes[:, 0].tolist() == [38.0, 2.0]
    assert found.scores[0] > found.scores[1]


def test_nothing_is_found_in_nothing() -> None:
    """Without peaks the arrays are empty and keep their shapes."""
    (found,) = decode(_raw({}))
    assert found.boxes.shape == (0, 4)
    assert found.masks.shape == (0, 64, 64)


def test_an_object_without_pixels_is_no_object() -> None:
    """A detection whose mask is empty is dropped, as in the reference."""
    raw = _raw({(5, 8): 4.0})
    (found,) = decode(raw._replace(coefficients=-raw.coefficients))
    assert len(found.scores) == 0


def test_edges_and_boxes_agree_at_every_cell() -> None:
    """Zero distances give the cell's own centre on all sides."""
    boxes: Tensor = boxes_from_edges(torch.zeros(1, 4, 16, 16))
    assert torch.equal(boxes[0, :2], cell_centers())
    assert torch.equal(boxes[0, 2:], cell_centers())


def test_inside_counts_right_and_bottom_as_outside() -> None:
    """A box of w x h px holds exactly w h pixels."""
    assert int(inside(torch.tensor([[3.0, 5.0, 10.0, 6.0]])).sum()) == 7


def test_a_mask_needs_a_positive_logit() -> None:
    """Prototypes times coefficients must be above zero."""
    box = torch.tensor([[0.0, 0.0, 64.0, 64.0]])
    masks = object_masks(torch.ones(1, 2, 32, 32), torch.tensor([[1.0, -2.0]]), box)
    assert not masks.any()
