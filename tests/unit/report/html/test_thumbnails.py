from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from selfe_eval.report.html.thumbnails import REDUCTIONS, Reduction, base64_bytes, fitting, thumbnail

NOISE = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)


def test_a_small_picture_keeps_its_pixels() -> None:
    """What is no larger than the reduction asks for keeps its size."""
    made = thumbnail(NOISE[:50, :64], REDUCTIONS[0])

    with Image.open(io.BytesIO(made.webp)) as image:
        assert (image.format, image.size, made.size) == ("WEBP", (64, 50), (64, 50))


def test_a_large_picture_is_reduced_and_its_own_size_kept_for_the_boxes() -> None:
    """The longest side is what was asked for; the size that goes with it is that of the judged image."""
    made = thumbnail(NOISE, Reduction(side_px=128, quality=50))

    with Image.open(io.BytesIO(made.webp)) as image:
        assert (image.size, made.size) == ((128, 96), (400, 300))


def test_the_best_reduction_that_fits_is_taken() -> None:
    """With room for all the first one is taken, and with less a smaller one that does fit."""
    own = [base64_bytes(len(thumbnail(NOISE, reduction).webp)) for reduction in REDUCTIONS]

    assert fitting([NOISE], 10, 20 * own[0]) == REDUCTIONS[0]
    smaller = fitting([NOISE], 10, 10 * own[0])
    assert smaller in REDUCTIONS[1:]
    assert 10 * own[REDUCTIONS.index(smaller)] <= 10 * own[0]


def test_what_does_not_fit_is_told() -> None:
    """Where not even the smallest pictures fit, or none is left to try, there is no reduction."""
    assert fitting([NOISE], 1000, 1000) is None
    assert fitting([NOISE], 1, 1e9, after=REDUCTIONS[-1]) is None
    assert fitting([NOISE], 1, 1e9, after=REDUCTIONS[0]) == REDUCTIONS[1]


@pytest.mark.parametrize(("largest_px", "words"), [(64, "full size"), (512, "reduced to 192 px")])
def test_a_reduction_is_said(largest_px: int, words: str) -> None:
    """Whoever looks at reduced pictures is told so."""
    assert words in REDUCTIONS[0].sentence(largest_px)
