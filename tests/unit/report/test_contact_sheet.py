from __future__ import annotations

import gc
import io
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from selfe_eval.report.contact_sheet import COLUMNS, PICTURE_PX, JudgedPicture, Mark, contact_sheet

MARGIN = 12
INK = (0xD8, 0x1B, 0x60)
"""Of the boxes of a picture's first class."""
GREY = (0x8A, 0x8A, 0x8A)


def picture(pixels: NDArray[np.uint8], **changes: Any) -> JudgedPicture:
    fields: dict[str, Any] = {"marks": (), "heading": "colors, prompt 7, image 1", "prompt": "a photo"}
    return JudgedPicture(pixels=pixels, **{**fields, "reason": "expected dog>=1, found 0", **changes})


def mark(box: tuple[float, float, float, float], **changes: Any) -> Mark:
    fields: dict[str, Any] = {"class_name": "dog", "score": 0.956, "color": None, "counts": True}
    return Mark(box=box, **{**fields, **changes})


def sheet(*pictures: JudgedPicture) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(contact_sheet(pictures))).convert("RGB"))


def place(pixels: NDArray[np.uint8], *marks: Mark) -> NDArray[np.uint8]:
    """The part of the sheet that a single picture takes."""
    drawn = sheet(picture(pixels, marks=marks))
    return drawn[MARGIN : MARGIN + PICTURE_PX, MARGIN : MARGIN + PICTURE_PX]


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_large_pictures_do_not_pile_up() -> None:
    """However many pictures a sheet has, their full pixels are there one after the other."""
    alive: list[weakref.ref[NDArray[np.uint8]]] = []

    def pictures() -> Iterator[JudgedPicture]:
        for number in range(9):
            pixels = noise(20, 30, number)
            alive.append(weakref.ref(pixels))
            yield picture(pixels)
            del pixels
            gc.collect()
            assert sum(reference() is not None for reference in alive) <= 1

    contact_sheet(pictures())
    assert len(alive) == 9


@pytest.mark.parametrize(("size", "factor"), [(64, 4), (100, 2), (256, 1)])
def test_small_pictures_keep_their_pixels(size: int, factor: int) -> None:
    """Each pixel becomes a square of its own colour: what is seen is what was judged."""
    pixels = noise(size, size)
    expected = np.repeat(np.repeat(pixels, factor, axis=0), factor, axis=1)

    np.testing.assert_array_equal(place(pixels)[: len(expected), : len(expected)], expected)


def test_large_pictures_fit_their_place() -> None:
    """A picture of 1024 x 512 is reduced to a quarter, its boxes with it."""
    pixels = np.full((512, 1024, 3), 255, dtype=np.uint8)
    drawn = place(pixels, mark((400, 200, 800, 480)))

    assert (drawn[60:118, 100] == INK).all()
    assert (drawn[60:118, 199] == INK).all()
    assert (drawn[119, 100:200] == INK).all()
    assert (drawn[:118, 96:100] == 255).all(axis=-1)[60:].all()


def test_a_frame_encloses_exactly_the_pixels_of_its_object() -> None:
    """Right and bottom are exclusive: the frame of a whole picture is its border, and none is wider."""
    pixels = np.full((64, 64, 3), 9, dtype=np.uint8)
    whole = place(pixels, mark((0, 0, 64, 64)))
    assert (whole[-1] == INK).all()
    assert (whole[:, -1] == INK).all()

    part = place(pixels, mark((16, 16, 32, 48)))
    inside = (part == INK).all(axis=-1)
    inside[: 16 * 4] = False
    rows, columns = np.nonzero(inside)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (64, 191, 64, 127)


def test_what_does_not_count_is_grey_and_below() -> None:
    """Of two equal boxes the one that counts is seen, whatever their order; alone, the other one is grey."""
    pixels = np.full((64, 64, 3), 9, dtype=np.uint8)
    counting, weaker = mark((16, 16, 48, 48)), mark((16, 16, 48, 48), counts=False)

    assert tuple(place(pixels, weaker)[100, 64]) == GREY
    assert tuple(place(pixels, counting, weaker)[100, 64]) == INK


@pytest.mark.parametrize("box", [(0, 0, 0, 0), (63, 63, 64, 64), (0, 0, 64, 1)])
def test_boxes_at_the_edge_can_be_drawn(box: tuple[float, float, float, float]) -> None:
    """An empty box and boxes at the borders, with a long label, stay within the picture."""
    drawn = sheet(picture(noise(64, 64), marks=[mark(box, class_name="computer keyboard", color="purple")]))

    assert (drawn[:, MARGIN + PICTURE_PX :] == 255).all()


def test_a_label_says_class_confidence_and_color() -> None:
    """The colour stands only where one was classified."""
    assert mark((0, 0, 1, 1)).label == "dog 0.96"
    assert mark((0, 0, 1, 1), color="red").label == "dog 0.96 red"


def test_pictures_of_any_size_stand_in_rows() -> None:
    """One more than a row takes gives a second row; the sheet is as wide as a full one."""
    sizes = [(64, 64), (512, 512), (30, 200), (8, 8), (1, 900)]
    drawn = sheet(*(picture(noise(*size)) for size in sizes))

    assert drawn.shape[1] == COLUMNS * (PICTURE_PX + MARGIN) + MARGIN
    assert drawn.shape[0] > PICTURE_PX + 3 * MARGIN


def test_long_texts_are_cut() -> None:
    """A rewritten prompt of a thousand words takes six lines, not the sheet."""
    short = sheet(picture(noise(64, 64), prompt="word"))
    long = sheet(picture(noise(64, 64), prompt="word " * 1000))

    assert long.shape[0] - short.shape[0] == 5 * 15
