from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from selfe.buckets import TOKEN_PX, Bucket, aspect_buckets, nearest

sides = st.integers(2, 64).map(lambda n: n * TOKEN_PX)
aspects = st.floats(1.0, 6.0)
pictures = st.integers(1, 10_000)


def log_aspect(width: int, height: int) -> float:
    return math.log(width) - math.log(height)


@given(sides, aspects)
def test_every_area_is_near_the_budget(side: int, max_aspect: float) -> None:
    """|area - side^2| is at most side^2 / (2 n), n token rows in the square; sides are whole tokens."""
    n = side // TOKEN_PX
    for height, width in aspect_buckets(side, max_aspect):
        assert height % TOKEN_PX == width % TOKEN_PX == 0
        assert abs(height * width - side * side) <= side * side / (2 * n)
        assert max(height, width) <= max_aspect * min(height, width)


@given(sides, aspects)
def test_the_square_is_there_and_transposing_changes_nothing(side: int, max_aspect: float) -> None:
    """The square is in the middle, the list read backwards is the list of the transposed sizes, none comes twice."""
    buckets = aspect_buckets(side, max_aspect)

    assert buckets[len(buckets) // 2] == (side, side)
    assert tuple((width, height) for height, width in reversed(buckets)) == buckets
    assert len(set(buckets)) == len(buckets)


@given(sides, aspects)
def test_no_row_number_is_left_out(side: int, max_aspect: float) -> None:
    """From the tallest to the widest the aspect grows, and the token rows of the lying half fall one by one."""
    buckets = aspect_buckets(side, max_aspect)
    ratios = [log_aspect(b.width_px, b.height_px) for b in buckets]
    lying = [b.grid[0] for b in buckets[len(buckets) // 2 :]]

    assert ratios == sorted(ratios)
    assert lying == list(range(lying[0], lying[0] - len(lying), -1))


@given(sides, aspects, pictures, pictures)
@example(32, 4.0, 200, 100)  # as far from 1:1 as from 4:1, and transposed the same
def test_nearest_is_nearest_either_way_up(side: int, max_aspect: float, width: int, height: int) -> None:
    """No bucket's log aspect ratio is nearer to the picture's, and the transposed picture gets the transposed bucket."""
    buckets = aspect_buckets(side, max_aspect)
    found = nearest(buckets, width_px=width, height_px=height)
    turned = nearest(buckets, width_px=height, height_px=width)
    aspect = log_aspect(width, height)

    assert all(
        abs(aspect - log_aspect(found.width_px, found.height_px))
        <= abs(aspect - log_aspect(other.width_px, other.height_px))
        for other in buckets
    )
    assert turned == (found.width_px, found.height_px)


@given(sides, aspects)
def test_extreme_pictures_go_to_the_outermost_buckets(side: int, max_aspect: float) -> None:
    """A strip lands in the tallest or the widest bucket, a square picture in the square, a bucket's own size in itself."""
    buckets = aspect_buckets(side, max_aspect)

    assert nearest(buckets, width_px=1, height_px=1000) == buckets[0]
    assert nearest(buckets, width_px=1000, height_px=1) == buckets[-1]
    assert nearest(buckets, width_px=777, height_px=777) == (side, side)
    assert all(nearest(buckets, width_px=b.width_px, height_px=b.height_px) == b for b in buckets)


def test_the_buckets_of_256_px() -> None:
    """Worked by hand for 256 tokens: 16 x 16, then 15 x 17 = 255, 14 x 18 = 252, 13 x 20 = 260, 12 x 21 = 252."""
    buckets = aspect_buckets(256)

    assert [b.grid for b in buckets[4:]] == [(16, 16), (15, 17), (14, 18), (13, 20), (12, 21)]
    assert buckets[5] == Bucket(height_px=240, width_px=272)
    # 16:9 is 0.575 in the logarithm, 12 x 21 is 0.560; 4:3 is 0.288, 14 x 18 is 0.251.
    assert nearest(buckets, width_px=1920, height_px=1080).grid == (12, 21)
    assert nearest(buckets, width_px=640, height_px=480).grid == (14, 18)


@pytest.mark.parametrize("side", [0, -16, 100])
def test_a_side_that_is_no_whole_number_of_tokens_is_refused(side: int) -> None:
    """The error names the unit and the number found."""
    with pytest.raises(ValueError, match=rf"multiple of 16 px.*got side_px {side}"):
        aspect_buckets(side)


def test_an_aspect_below_one_is_refused() -> None:
    """max_aspect is longer through shorter side: nothing is below 1, and NaN is no ratio."""
    for wrong in (0.5, math.nan):
        with pytest.raises(ValueError, match="at least 1"):
            aspect_buckets(256, wrong)
