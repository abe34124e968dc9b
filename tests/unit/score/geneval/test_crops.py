"""The masked crop."""

from __future__ import annotations

import numpy as np
import pytest

from selfe_eval.score.geneval.crops import GREY, masked_crop

PIXELS = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)


def test_pixels_of_the_mask_remain_and_all_others_are_grey() -> None:
    """Inside the box, the object keeps its pixels and everything else is 153."""
    mask = np.zeros((5, 4), dtype=bool)
    mask[1, 2] = True

    crop = masked_crop(PIXELS, mask, (1.0, 1.0, 3.0, 4.0))

    assert crop.shape == (3, 2, 3)
    assert crop.dtype == np.uint8
    assert crop[0, 1].tolist() == PIXELS[1, 2].tolist()
    assert (crop.reshape(-1, 3)[[0, 2, 3, 4, 5]] == GREY).all()


def test_a_crop_is_a_copy() -> None:
    """Writing into a crop leaves the image as it was."""
    before = PIXELS.copy()

    masked_crop(PIXELS, np.ones((5, 4), dtype=bool), (0, 0, 4, 5))[:] = 0

    np.testing.assert_array_equal(PIXELS, before)


def test_edges_between_pixels_are_rounded() -> None:
    """A detector's fractional box is rounded to whole pixels."""
    crop = masked_crop(PIXELS, np.ones((5, 4), dtype=bool), (0.6, -0.4, 3.2, 2.0))

    np.testing.assert_array_equal(crop, PIXELS[0:2, 1:3])


@pytest.mark.parametrize("box", [(0, 0, 0, 0), (2, 2, 1, 4), (0, 0, 5, 5), (-1, 0, 3, 3)])
def test_an_empty_box_or_one_outside_is_refused(box: tuple[float, float, float, float]) -> None:
    """There is nothing to classify in a box without pixels, and nothing known outside the image."""
    with pytest.raises(ValueError, match="expected a box of at least one pixel inside 4 x 5"):
        masked_crop(PIXELS, np.ones((5, 4), dtype=bool), box)


def test_an_image_with_another_layout_is_refused() -> None:
    """Channels first, or another size than the mask, cannot be cropped by mistake."""
    with pytest.raises(ValueError, match="expected an RGB image"):
        masked_crop(PIXELS.transpose(2, 0, 1), np.ones((5, 4), dtype=bool), (0, 0, 1, 1))
