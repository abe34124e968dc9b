from __future__ import annotations

import numpy as np
import pytest

from selfe_eval.errors import UsageError
from selfe_eval.score.detectors.protocol import RgbImages
from selfe_eval.score.detectors.registry import DETECTORS, detector_names, load_detector


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((1, 8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((1, 3, 8, 8), np.uint8),
        np.zeros((1, 8, 8, 4), np.uint8),
    ],
)
def test_images_are_bytes_with_channels_last(pixels: np.ndarray) -> None:
    """Anything but uint8 of shape (batch, height, width, 3) is refused at once."""
    with pytest.raises(ValueError, match="RgbImages takes uint8"):
        RgbImages(pixels=pixels)


def test_the_number_of_images_is_their_length() -> None:
    """``len`` counts images."""
    assert len(RgbImages(pixels=np.zeros((5, 8, 8, 3), np.uint8))) == 5


def test_an_unknown_detector_is_a_usage_error_with_a_suggestion() -> None:
    """A misspelt name answers with the one that was meant."""
    with pytest.raises(UsageError, match="Did you mean 'openmoji'"):
        load_detector("openmojy")


def test_every_name_in_the_table_is_offered() -> None:
    """The names shown to users are the keys of the table."""
    assert detector_names() == tuple(DETECTORS)
