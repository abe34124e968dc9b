from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from selfe_eval.openmoji.classes import OWN, picture, picture_table
from selfe_eval.openmoji.palette import BACKGROUNDS, PAINT, _shade, recolor
from selfe_eval.openmoji.sprites import SIZES_PX, SpriteBank, load_sprite_bank
from selfe_eval.records import COLORS
from selfe_eval.resources import benchmarks_dir
from selfe_eval.suites.vocabulary import CLASSES

NATURAL = -1
INK = 30
"""Pixels whose brightest channel is below are outline: the darkest shade of our black is 37."""


def fill_color(sprite: Tensor) -> Tensor:
    """Mean RGB of the brighter half of the opaque pixels that are no outline: the rest mixes with lines."""
    rgb = sprite[sprite[..., 3] > 250][:, :3].float()
    rgb = rgb[rgb.amax(dim=1) >= INK]
    brightness = rgb.sum(dim=1)
    return rgb[brightness >= brightness.median()].mean(dim=0)


def shades() -> Tensor:
    """(10, 5, 3): each paint from the darkest to the lightest it gets."""
    levels = (0.0, 0.25, 0.5, 0.75, 1.0)
    return torch.tensor([[_shade(PAINT[color], level) for level in levels] for color in COLORS]).float()


def test_every_class_has_a_picture_and_every_drawing_of_ours_a_class() -> None:
    """The table names the 80 classes in order, and no SVG lies about without a class."""
    drawings = {path.stem for path in (benchmarks_dir() / "openmoji" / "svg").glob("*.svg")}
    own = {name.replace(" ", "_") for name, code in picture_table().items() if code == OWN}
    assert tuple(picture_table()) == CLASSES
    assert drawings == own
    assert all(picture(name).lstrip().startswith(("<svg", "<?xml")) for name in CLASSES)


def test_the_bank_holds_every_variant_at_every_size(bank: SpriteBank) -> None:
    """80 classes x 11 variants x 6 sizes, and nothing else."""
    assert bank.pixels.shape == (80 * 11 * sum(side * side for side in SIZES_PX), 4)
    assert bank.pixels.dtype == torch.uint8
    assert load_sprite_bank() is bank


@pytest.mark.parametrize("size_index", range(len(SIZES_PX)))
def test_every_sprite_fills_its_square_in_one_direction(bank: SpriteBank, size_index: int) -> None:
    """No sprite is empty; its longer side spans most of the square, thin lines not counted (a glass's foot)."""
    side = SIZES_PX[size_index]
    for index, color in itertools.product(range(len(CLASSES)), range(NATURAL, len(COLORS))):
        visible = bank.sprite(index, color, size_index)[..., 3] > 127
        extents = (int(visible.any(dim=0).sum()), int(visible.any(dim=1).sum()))
        assert max(extents) >= 0.6 * side, (CLASSES[index], color, extents)


def test_recolouring_keeps_the_silhouette(bank: SpriteBank) -> None:
    """All variants of a class have the same alpha, to rounding."""
    for index in range(len(CLASSES)):
        natural = bank.sprite(index, NATURAL, 5)[..., 3].int()
        for color in range(len(COLORS)):
            difference = (bank.sprite(index, color, 5)[..., 3].int() - natural).abs()
            assert int(difference.max()) <= 2, (CLASSES[index], COLORS[color])


def test_every_recoloured_sprite_reads_as_its_colour(bank: SpriteBank) -> None:
    """Of the ten paints in their shades the asked one is nearest to every class's fill, at 28 and 48 px."""
    known = shades()
    for index, color, size in itertools.product(range(len(CLASSES)), range(len(COLORS)), (2, 5)):
        fill = fill_color(bank.sprite(index, color, size))
        nearest = COLORS[int((known - fill).norm(dim=-1).amin(dim=1).argmin())]
        assert nearest == COLORS[color], (CLASSES[index], SIZES_PX[size], fill.tolist())


def test_paints_are_far_apart_and_from_the_backgrounds() -> None:
    """Any two paints differ by at least 60 of 441 in RGB, and no paint but white is near a background."""
    for one, other in itertools.combinations(COLORS, 2):
        assert torch.dist(torch.tensor(PAINT[one]).float(), torch.tensor(PAINT[other]).float()) >= 60
    for color, background in itertools.product(COLORS, BACKGROUNDS):
        distance = torch.dist(torch.tensor(PAINT[color]).float(), torch.tensor(background).float())
        assert distance >= (10 if color == "white" else 60), (color, background)


def test_recolouring_leaves_black_lines_and_none_alone() -> None:
    """Fills and coloured strokes become shades of the colour; black, ``none`` and the other text stay."""
    svg = '<path fill="#fff" stroke="#000"/><path fill="none" stroke="#EA5A47" stroke-width="2"/>'
    svg += '<use href="#a"/>'
    painted = recolor(svg, "blue")
    assert 'stroke="#000"' in painted
    assert 'fill="none"' in painted
    assert 'href="#a"' in painted
    assert "#fff" not in painted
    assert "#EA5A47" not in painted


def test_recolouring_keeps_the_order_of_lightness() -> None:
    """A lighter fill of the original is lighter in the new colour too."""
    dark, light = (recolor(f'<path fill="{fill}"/>', "green") for fill in ("#333333", "#eeeeee"))
    assert dark < light


def test_recolouring_refuses_other_colours() -> None:
    """Grey is none of GenEval's ten."""
    with pytest.raises(ValueError, match=r"red, orange.*grey"):
        recolor("<svg/>", "grey")


@pytest.mark.parametrize("color", [NATURAL, COLORS.index("purple")])
def test_sprites_of_different_classes_differ(bank: SpriteBank, color: int) -> None:
    """At 28 px, over light grey, any two classes of one colour differ by 25 grey levels or more on average.

    The nearest two of one colour are cell phone and refrigerator: the same silhouette, other lines inside.
    """
    sprites = torch.stack([bank.sprite(index, color, 2) for index in range(len(CLASSES))]).float()
    alpha = sprites[..., 3:] / 255
    pixels = (sprites[..., :3] * alpha + 232 * (1 - alpha)).flatten(1)
    masks = (alpha > 0.5).float().flatten(1)
    union = (masks[:, None] + masks[None, :]).clamp_max(1).sum(dim=-1)
    difference = torch.cdist(pixels, pixels, p=1) / 3 / union
    difference.fill_diagonal_(255)
    worst = int(difference.argmin())
    pair = CLASSES[worst // len(CLASSES)], CLASSES[worst % len(CLASSES)]
    assert float(difference.min()) >= 25, pair


def test_a_bank_moves_between_devices_whole(bank: SpriteBank) -> None:
    """Moving copies both tensors."""
    moved = bank.to("meta")
    assert moved.pixels.shape == bank.pixels.shape
    assert moved.offsets.device == torch.device("meta")
