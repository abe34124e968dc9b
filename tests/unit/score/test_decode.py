from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from selfe_eval.score.decode import UNREADABLE, decode_rgb

NOISE = np.random.default_rng(0).integers(0, 256, (5, 7, 4), dtype=np.uint8)
"""Nothing in it is symmetric, so that any turn or swap shows."""
RGB, GREY, ALPHA = NOISE[..., :3], NOISE[..., 0], NOISE[..., 3]
ORIENTATION = 0x0112
"""The EXIF tag."""


def png(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="PNG", **options)
    return stream.getvalue()


def with_orientation(image: Image.Image, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return png(image, exif=exif)


def png_16_bit(channels: int) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 1 << 16, (5, 7, channels), dtype=np.uint16)
    return cv2.imencode(".png", pixels)[1].tobytes()


def seen_by_opencv(content: bytes) -> NDArray[np.uint8]:
    """What the reference's detector gets from the file, in RGB order."""
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.asarray(decoded[..., ::-1], dtype=np.uint8)


CASES = {
    "colors": png(Image.fromarray(RGB)),
    "colors with alpha": png(Image.fromarray(NOISE)),
    "grey": png(Image.fromarray(GREY)),
    "grey with alpha": png(Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(ALPHA)])),
    "black and white": png(Image.fromarray(GREY > 99)),
    "palette": png(Image.fromarray(RGB).quantize(16)),
    "palette, one entry transparent": png(Image.fromarray(RGB).quantize(16), transparency=3),
    "grey of 16 bits": png_16_bit(1),
    "colors of 16 bits": png_16_bit(3),
    "colors of 16 bits with alpha": png_16_bit(4),
    **{f"orientation {number}": with_orientation(Image.fromarray(RGB), number) for number in range(1, 9)},
}


@pytest.mark.parametrize("content", CASES.values(), ids=CASES.keys())
def test_every_kind_of_png_looks_as_it_does_to_the_reference(content: bytes) -> None:
    """The detector of the reference reads files with OpenCV: channel for channel, that is what comes out."""
    np.testing.assert_array_equal(decode_rgb(content), seen_by_opencv(content))


def test_transparency_is_dropped_and_not_blended() -> None:
    """A wholly transparent red pixel is red."""
    clear_red = png(Image.new("RGBA", (1, 1), (255, 0, 0, 0)))
    assert decode_rgb(clear_red).tolist() == [[[255, 0, 0]]]


def test_grey_fills_three_channels() -> None:
    """A grey picture, or one of a palette, has three channels like any other."""
    assert decode_rgb(png(Image.new("L", (1, 1), 77))).tolist() == [[[77, 77, 77]]]
    assert decode_rgb(png(Image.new("RGB", (1, 1), (1, 2, 3)).quantize(2))).tolist() == [[[1, 2, 3]]]


def test_sixteen_bits_keep_their_upper_eight() -> None:
    """Half-bright 16-bit grey is half bright, and turned as its orientation says."""
    half = Image.fromarray(np.array([[0x0000, 0x7FFF, 0x80FF]], dtype=np.uint16))
    assert decode_rgb(png(half))[..., 1].tolist() == [[0, 0x7F, 0x80]]
    assert decode_rgb(with_orientation(half, 6))[..., 1].tolist() == [[0], [0x7F], [0x80]]


def test_the_orientation_is_applied() -> None:
    """A picture that was taken upright and stored lying is upright."""
    assert decode_rgb(with_orientation(Image.fromarray(RGB), 6)).shape == (7, 5, 3)


@pytest.mark.parametrize(
    "content",
    [b"", b"GIF89a", CASES["colors"][:60], CASES["colors"].replace(b"IDAT", b"IDAX")],
    ids=["empty", "no image", "cut off", "damaged"],
)
def test_what_is_no_image_is_one_of_the_errors_named(content: bytes) -> None:
    """A caller that catches UNREADABLE meets nothing else."""
    with pytest.raises(UNREADABLE):
        decode_rgb(content)
