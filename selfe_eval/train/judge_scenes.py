"""Batches for the judge: scenes with their truth, spoilt as few-step images are, and unreal ones without any.

Unreal images (shuffled patches, averages of scenes, plain blobs, halves of objects) carry no labels: a judge
that sees objects in them would reward poor generators.
Everything is drawn from the batch's seed. Shapes: B images, O object slots, 64 x 64 px.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from selfe_eval.openmoji import layouts
from selfe_eval.openmoji.scenes import SceneBatch, render, truth
from selfe_eval.openmoji.sprites import SpriteBank
from selfe_eval.openmoji.training_scenes import sample_training_scenes
from selfe_eval.records import COLORS, Prompt
from selfe_eval.suites.vocabulary import CLASSES

UNREAL_SHARE = 5 / 32
"""Share of a batch that shows nothing real."""
CROWD_SLOTS = 6
"""Most objects in a crowded scene."""
MIXED_CROWDS = 0.3
"""Share of crowded scenes whose objects are of any classes; the others show one class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImages:
    """Images and what is truly in them."""

    images: Tensor
    """(B, 3, 64, 64) float32 RGB in [0, 1]."""
    class_index: Tensor
    """(B, O) int64, -1 where the slot is empty."""
    boxes: Tensor
    """(B, O, 4) float32 x0 y0 x1 y1 px, right and bottom exclusive."""
    masks: Tensor
    """(B, O, 64, 64) bool, visible pixels."""
    scenes: SceneBatch
    """The scenes as rendered; where labels were removed they still say what was there."""
    prompts: tuple[Prompt, ...]
    """The caption of each scene."""


def labelled_scenes(
    bank: SpriteBank,
    num_images: int,
    seed: int,
    *,
    recolored_share: float = 0.0,
    crowded_share: float = 0.0,
) -> LabelledImages:
    """Clean scenes, held-out combinations included: the judge must know what the generators never saw.

    Args:
        bank: The sprites.
        num_images: B.
        seed: Of everything drawn.
        recolored_share: Share of scenes whose objects all get colours at random, natural or painted, so that
            every class is seen in every colour, alone and in company. Their captions then no longer hold.
        crowded_share: Share of scenes that show two to six small objects close together instead, more than
            any prompt asks for: what was not asked must be seen, too. Their captions do not hold either.
    """
    labelled = sample_training_scenes(num_images, seed, include_held_out=True)
    scenes = _recolored(_crowded(labelled.scenes, crowded_share, seed), recolored_share, seed)
    seen = truth(bank, scenes)
    return LabelledImages(
        images=render(bank, scenes).float() / 255,
        class_index=scenes.class_index,
        boxes=seen.boxes,
        masks=seen.masks,
        scenes=scenes,
        prompts=tuple(labelled.prompts),
    )


def _recolored(scenes: SceneBatch, share: float, seed: int) -> SceneBatch:
    generator = torch.Generator().manual_seed(seed ^ 1)
    colors = torch.randint(-1, len(COLORS), scenes.color_index.shape, generator=generator)
    chosen = torch.rand(len(colors), 1, generator=generator) < share
    return replace(scenes, color_index=torch.where(chosen, colors, scenes.color_index))


def _crowded(scenes: SceneBatch, share: float, seed: int) -> SceneBatch:
    """Six slots, and in some scenes other contents: mostly one class, sometimes many."""
    if share == 0:
        return scenes
    generator = torch.Generator().manual_seed(seed ^ 2)
    size = len(scenes.class_index)
    layout = layouts.six_cells(size, CROWD_SLOTS, generator)
    mixed = torch.rand(size, 1, generator=generator) < MIXED_CROWDS
    classes = torch.randint(len(CLASSES), (size, CROWD_SLOTS), generator=generator)
    classes = torch.where(mixed, classes, classes[:, :1])
    number = torch.randint(2, CROWD_SLOTS + 1, (size, 1), generator=generator)
    classes = torch.where(torch.arange(CROWD_SLOTS) < number, classes, -1)
    chosen = torch.rand(size, 1, generator=generator) < share
    more = (0, CROWD_SLOTS - scenes.class_index.shape[1])
    return replace(
        scenes,
        class_index=torch.where(chosen, classes, functional.pad(scenes.class_index, more, value=-1)),
        color_index=torch.where(chosen, -1, functional.pad(scenes.color_index, more, value=-1)),
        size_index=torch.where(chosen, layout.size_index, functional.pad(scenes.size_index, more)),
        corner_xy=torch.where(
            chosen[..., None], layout.corner_xy, functional.pad(scenes.corner_xy, (0, 0, *more))
        ),
    )


def with_unreal(batch: LabelledImages, generator: torch.Generator) -> LabelledImages:
    """Make the first ``UNREAL_SHARE`` of a batch unreal and take their labels away."""
    kinds = (_shuffled_small, _shuffled_large, _averaged, _blobs, _halves)
    each = round(len(batch.images) * UNREAL_SHARE / len(kinds))
    images, class_index = batch.images.clone(), batch.class_index.clone()
    for index, make in enumerate(kinds):
        part = slice(index * each, (index + 1) * each)
        if each:
            images[part] = make(batch, part, generator)
    class_index[: each * len(kinds)] = -1
    return replace(batch, images=images, class_index=class_index)


Unreal = Callable[[LabelledImages, slice, torch.Generator], Tensor]


def _shuffled_small(batch: LabelledImages, part: slice, generator: torch.Generator) -> Tensor:
    return _shuffle(batch.images[part], 8, generator)


def _shuffled_large(batch: LabelledImages, part: slice, generator: torch.Generator) -> Tensor:
    return _shuffle(batch.images[part], 16, generator)


def _shuffle(images: Tensor, patch_px: int, generator: torch.Generator) -> Tensor:
    """Each image cut into squares that are put together in another order."""
    patches = functional.unfold(images, patch_px, stride=patch_px)
    order = torch.rand(patches.shape[0], patches.shape[2], generator=generator).argsort(dim=1)
    shuffled = patches.gather(2, order[:, None].expand_as(patches))
    return functional.fold(shuffled, images.shape[-2:], patch_px, stride=patch_px)


def _averaged(batch: LabelledImages, part: slice, generator: torch.Generator) -> Tensor:
    """The mean of four scenes: what a generator shows that cannot decide."""
    size = len(batch.images[part])
    chosen = torch.randint(len(batch.images), (size, 4), generator=generator)
    return batch.images[chosen].mean(dim=1)


def _blobs(batch: LabelledImages, part: slice, generator: torch.Generator) -> Tensor:
    """Smooth shapes of one plain colour on the scene's background."""
    size = len(batch.images[part])
    coarse = torch.randn(size, 1, 6, 6, generator=generator)
    field = functional.interpolate(coarse, size=(64, 64), mode="bicubic", align_corners=False)
    alpha = torch.sigmoid((field - 0.7) * 12)
    color = torch.rand(size, 3, 1, 1, generator=generator)
    background = batch.scenes.background[part].float()[:, :, None, None] / 255
    return background + alpha * (color - background)


def _halves(batch: LabelledImages, part: slice, generator: torch.Generator) -> Tensor:
    """Every object loses between half and three quarters of its box, from a random side."""
    boxes = batch.boxes[part]
    keep = 0.25 + 0.25 * torch.rand(boxes.shape[:2], generator=generator)
    side = torch.randint(4, boxes.shape[:2], generator=generator)
    left, top, right, bottom = boxes.unbind(dim=-1)
    width, height = right - left, bottom - top
    axis = torch.arange(64) + 0.5
    x, y = axis[None, None, None, :], axis[None, None, :, None]

    def at(values: Tensor) -> Tensor:
        return values[:, :, None, None]

    gone = torch.stack(
        torch.broadcast_tensors(
            x > at(left + keep * width),
            x < at(right - keep * width),
            y > at(top + keep * height),
            y < at(bottom - keep * height),
        )
    )
    chosen = gone.gather(0, side[None, :, :, None, None].expand(1, -1, -1, 64, 64))[0]
    erased = (chosen & batch.masks[part] & at(batch.class_index[part] >= 0)).any(dim=1)
    background = batch.scenes.background[part].float()[:, :, None, None] / 255
    return torch.where(erased[:, None], background, batch.images[part])
