from __future__ import annotations

import torch

from selfe_eval.openmoji.scenes import SceneBatch, render, tight_boxes, truth
from selfe_eval.openmoji.sprites import SIZES_PX, SpriteBank
from selfe_eval.suites.vocabulary import CLASSES


def scene(
    class_index: int, color_index: int = -1, size_index: int = 5, corner: tuple[int, int] = (8, 4)
) -> SceneBatch:
    """One object on light blue."""
    return SceneBatch(
        class_index=torch.tensor([[class_index, -1]]),
        color_index=torch.tensor([[color_index, -1]]),
        size_index=torch.tensor([[size_index, 0]]),
        corner_xy=torch.tensor([[corner, (0, 0)]]),
        background=torch.tensor([[226, 234, 242]], dtype=torch.uint8),
    )


def test_a_scene_without_objects_is_its_background(bank: SpriteBank) -> None:
    """Empty slots draw nothing."""
    pixels = render(bank, scene(-1))
    assert pixels.shape == (1, 3, 64, 64)
    assert pixels.dtype == torch.uint8
    assert pixels.flatten(2).unique(dim=2)[0, :, 0].tolist() == [226, 234, 242]


def test_a_sprite_is_composited_over_the_background(bank: SpriteBank) -> None:
    """Each pixel is background + alpha x (sprite - background), rounded; outside the square, background."""
    one = scene(CLASSES.index("apple"), color_index=4)
    side = SIZES_PX[5]
    sprite = bank.sprite(CLASSES.index("apple"), 4, 5).float()
    expected = one.background[0].float().expand(64, 64, 3).clone()
    window = expected[4 : 4 + side, 8 : 8 + side]
    expected[4 : 4 + side, 8 : 8 + side] = window + sprite[..., 3:] / 255 * (sprite[..., :3] - window)
    difference = (render(bank, one)[0].permute(1, 2, 0).float() - expected).abs()
    assert float(difference.max()) <= 0.51


def test_truth_is_the_visible_part_of_the_sprite(bank: SpriteBank) -> None:
    """The mask is where alpha is above one half, the box is tight around it, an empty slot has neither."""
    index = CLASSES.index("knife")
    seen = truth(bank, scene(index))
    alpha = bank.sprite(index, -1, 5)[..., 3] > 127
    rows, columns = alpha.any(dim=1).nonzero().flatten(), alpha.any(dim=0).nonzero().flatten()
    expected = [8 + int(columns[0]), 4 + int(rows[0]), 9 + int(columns[-1]), 5 + int(rows[-1])]
    assert seen.boxes[0, 0].tolist() == expected
    assert int(seen.masks[0, 0].sum()) == int(alpha.sum())
    assert seen.boxes[0, 1].tolist() == [0, 0, 0, 0]
    assert not seen.masks[0, 1].any()


def test_a_scene_looks_the_same_in_any_batch(bank: SpriteBank) -> None:
    """Rendering is independent of the other scenes of the batch."""
    alone = render(bank, scene(3))
    both = SceneBatch(
        **{
            name: torch.cat([getattr(scene(7), name), getattr(scene(3), name)])
            for name in ("class_index", "color_index", "size_index", "corner_xy", "background")
        }
    )
    assert len(both) == 2
    assert torch.equal(render(bank, both)[1:], alone)


def test_tight_boxes_are_exclusive_on_the_right_and_below() -> None:
    """A single pixel has a box of one by one."""
    masks = torch.zeros(1, 8, 8, dtype=torch.bool)
    masks[0, 2, 5] = True
    assert tight_boxes(masks).tolist() == [[5, 2, 6, 3]]
