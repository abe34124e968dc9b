"""Captioned scenes for training: the six tasks in fixed shares, held-out combinations left out where asked.

Legend: N scenes, 2 objects with a name of their own (counting repeats the first).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from selfe_eval.openmoji import layouts
from selfe_eval.openmoji.palette import BACKGROUNDS
from selfe_eval.openmoji.scenes import NUM_SLOTS, SceneBatch
from selfe_eval.records import COLORS, RELATIONS, TASKS, Prompt
from selfe_eval.suites import wording
from selfe_eval.suites.heldout import held_out_class_color, held_out_class_pair, held_out_class_relation
from selfe_eval.suites.vocabulary import CLASSES

TASK_SHARES = (0.20, 0.20, 0.20, 0.15, 0.15, 0.10)
"""Of TASKS, in their order."""

SINGLE, TWO, COUNTING, COLOR, POSITION, COLOR_ATTR = range(len(TASKS))


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledScenes:
    """Scenes with their captions."""

    scenes: SceneBatch
    """N scenes."""
    prompts: list[Prompt]
    """One for each scene; prompt_id is its number in the batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What N scenes show, before it is given a place; every field has N rows."""

    task: Tensor
    """int64 (N,), into TASKS."""
    classes: Tensor
    """int64 (N, 2), different from each other."""
    colors: Tensor
    """int64 (N, 2), different from each other, into COLORS."""
    count: Tensor
    """int64 (N,): 2-4, used by counting."""
    relation: Tensor
    """int64 (N,), into RELATIONS: of the first object to the second, used by position."""


def sample_training_scenes(
    num_scenes: int, seed: int, *, include_held_out: bool, device: torch.device | str = "cpu"
) -> LabelledScenes:
    """Draw captioned scenes, the same for the same (num_scenes, seed) everywhere.

    Args:
        num_scenes: N, at least 1.
        seed: Of all draws.
        include_held_out: Whether combinations that selfe_eval.suites.heldout names may appear.
        device: Where the scenes' tensors go; the draws are made on the CPU.

    Returns:
        The scenes and their captions.
    """
    generator = torch.Generator().manual_seed(seed)
    contents = draw_contents(num_scenes, generator, include_held_out=include_held_out)
    scenes = place(contents, generator)
    return LabelledScenes(scenes=scenes.to(device), prompts=prompts_of(contents))


def draw_contents(num_scenes: int, generator: torch.Generator, *, include_held_out: bool) -> Contents:
    """Draw what the scenes show; held-out rows are drawn again until none is left."""
    contents = _draw(num_scenes, generator)
    while not include_held_out:
        rows = held_out(contents).nonzero().squeeze(1)
        if len(rows) == 0:
            break
        _replace(contents, rows, _draw(len(rows), generator))
    return contents


def held_out(contents: Contents) -> Tensor:
    """Bool (N,): which rows show a held-out combination."""
    color, pair, relation = _held_out_tables()
    first, second = contents.classes.unbind(1)
    task = contents.task
    paired = (task == TWO) | (task == POSITION) | (task == COLOR_ATTR)
    first_colored = (task == COLOR) | (task == COLOR_ATTR)
    return (
        (paired & pair[first, second])
        | (first_colored & color[first, contents.colors[:, 0]])
        | ((task == COLOR_ATTR) & color[second, contents.colors[:, 1]])
        | ((task == POSITION) & relation[first, contents.relation])
    )


def place(contents: Contents, generator: torch.Generator) -> SceneBatch:
    """Give every object a size and a place, every scene a background."""
    batch = len(contents.task)
    number = objects_shown(contents)
    horizontal = torch.rand(batch, generator=generator) < 0.5
    flipped = torch.rand(batch, generator=generator) < 0.5
    is_position = contents.task == POSITION
    horizontal = torch.where(is_position, contents.relation < 2, horizontal)
    flipped = torch.where(is_position, contents.relation % 2 == 1, flipped)
    options = (
        layouts.one(batch, NUM_SLOTS, generator),
        layouts.two(horizontal, NUM_SLOTS, generator),
        layouts.quadrants(batch, NUM_SLOTS, generator),
    )
    kind = (number - 1).clamp_max(2)
    size = torch.stack([option.size_index for option in options])[kind, torch.arange(batch)]
    corner = torch.stack([option.corner_xy for option in options])[kind, torch.arange(batch)]
    swapped = (kind == 1) & flipped
    order = torch.arange(NUM_SLOTS).repeat(batch, 1)
    order[swapped, :2] = torch.tensor([1, 0])
    size = size.gather(1, order)
    corner = corner.gather(1, order[..., None].expand(-1, -1, 2))
    background = torch.tensor(BACKGROUNDS, dtype=torch.uint8)
    return SceneBatch(
        class_index=_slot_classes(contents, number),
        color_index=_slot_colors(contents),
        size_index=size,
        corner_xy=corner,
        background=background[torch.randint(len(background), (batch,), generator=generator)],
    )


def objects_shown(contents: Contents) -> Tensor:
    """int64 (N,): how many objects each scene has."""
    two = (contents.task == TWO) | (contents.task == POSITION) | (contents.task == COLOR_ATTR)
    return torch.where(contents.task == COUNTING, contents.count, torch.where(two, 2, 1))


def prompts_of(contents: Contents) -> list[Prompt]:
    """The caption of every scene, in GenEval's wording."""
    rows = zip(
        contents.task.tolist(),
        contents.classes.tolist(),
        contents.colors.tolist(),
        contents.count.tolist(),
        contents.relation.tolist(),
        strict=True,
    )
    return [_prompt(number, *row) for number, row in enumerate(rows)]


def _prompt(
    number: int, task: int, classes: list[int], paints: list[int], count: int, relation: int
) -> Prompt:
    first, second = (CLASSES[index] for index in classes)
    color, other = (COLORS[index] for index in paints)
    if task == SINGLE:
        return wording.single_object(number, first)
    if task == TWO:
        return wording.two_object(number, first, second)
    if task == COUNTING:
        return wording.counting(number, first, count)
    if task == COLOR:
        return wording.colors(number, first, color)
    if task == POSITION:
        return wording.position(number, first, second, RELATIONS[relation])
    return wording.color_attr(number, (first, second), (color, other))


def _draw(num_scenes: int, generator: torch.Generator) -> Contents:
    shares = torch.tensor(TASK_SHARES)
    task = torch.multinomial(shares, num_scenes, replacement=True, generator=generator)
    # GenEval never asks for a coloured person: its colour tasks draw from the other 79 classes.
    lowest = ((task == COLOR) | (task == COLOR_ATTR)).long()
    return Contents(
        task=task,
        classes=_two_different(len(CLASSES), lowest, generator),
        colors=_two_different(len(COLORS), torch.zeros_like(task), generator),
        count=torch.randint(2, 5, (num_scenes,), generator=generator),
        relation=torch.randint(len(RELATIONS), (num_scenes,), generator=generator),
    )


def _two_different(stop: int, lowest: Tensor, generator: torch.Generator) -> Tensor:
    """int64 (N, 2): two different numbers in [lowest, stop), uniformly."""
    room = stop - lowest
    first = (torch.rand(len(lowest), generator=generator) * room).long().minimum(room - 1)
    step = (torch.rand(len(lowest), generator=generator) * (room - 1)).long().minimum(room - 2) + 1
    return torch.stack([first, (first + step) % room], dim=1) + lowest[:, None]


def _replace(contents: Contents, rows: Tensor, drawn: Contents) -> None:
    for name in ("task", "classes", "colors", "count", "relation"):
        getattr(contents, name)[rows] = getattr(drawn, name)


def _slot_classes(contents: Contents, number: Tensor) -> Tensor:
    first, second = contents.classes.unbind(1)
    repeated = first[:, None].expand(-1, NUM_SLOTS).clone()
    repeated[:, 1] = torch.where(contents.task == COUNTING, first, second)
    return torch.where(torch.arange(NUM_SLOTS) < number[:, None], repeated, -1)


def _slot_colors(contents: Contents) -> Tensor:
    colors = torch.full((len(contents.task), NUM_SLOTS), -1)
    colored = (contents.task == COLOR) | (contents.task == COLOR_ATTR)
    colors[:, 0] = torch.where(colored, contents.colors[:, 0], -1)
    colors[:, 1] = torch.where(contents.task == COLOR_ATTR, contents.colors[:, 1], -1)
    return colors


@cache
def held_out_color_table() -> Tensor:
    """Bool (80, 10): the held-out class-colour pairs."""
    return torch.tensor([[held_out_class_color(name, color) for color in COLORS] for name in CLASSES])


@cache
def _held_out_tables() -> tuple[Tensor, Tensor, Tensor]:
    """Bool tables (80, 10), (80, 80) and (80, 4)."""
    pair = torch.tensor([[held_out_class_pair(a, b) for b in CLASSES] for a in CLASSES])
    relation = torch.tensor([[held_out_class_relation(name, r) for r in RELATIONS] for name in CLASSES])
    return held_out_color_table(), pair, relation
