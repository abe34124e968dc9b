"""Scenes with a known verdict: what a prompt asks for exactly, or with exactly one thing wrong.

They calibrate a judge, so nothing in them is left to chance: a scene for a position prompt is drawn again
until GenEval's rule sees the asked relation and no other. They know GenEval's six tasks, not prompts in
general.

Legend: P prompts, O = 4 object slots (5 in broken scenes). Slots follow the prompt's words: first noun first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from selfe_eval.errors import UsageError, unknown_name
from selfe_eval.openmoji import layouts
from selfe_eval.openmoji.scenes import SceneBatch, truth
from selfe_eval.openmoji.sprites import SpriteBank, load_sprite_bank
from selfe_eval.openmoji.training_scenes import POSITION, Contents, objects_shown, place
from selfe_eval.records import COLORS, RELATIONS, TASKS, Prompt
from selfe_eval.suites.vocabulary import CLASSES, NUMBER_WORDS

BreakKind = Literal["class", "color", "count_more", "count_fewer", "side"]
"""What a broken scene has wrong."""

NUM_BROKEN_SLOTS = 5
"""Object slots of a broken scene, so that four can become five and all kinds can be joined in one batch."""

_SLACK, _CUT, _TOUCHING = 0.1, 0.5, 1e-3


def scenes_for_prompts(prompts: Sequence[Prompt], seed: int) -> SceneBatch:
    """Draw one scene for each prompt that shows what it asks, the asked number of objects and nothing else.

    Objects without an asked colour have their natural ones.

    Args:
        prompts: P prompts of GenEval's six tasks.
        seed: Of the layouts and backgrounds.

    Returns:
        P scenes of 4 slots, on the CPU; the same for the same prompts and seed.

    Raises:
        UsageError: A prompt asks for a task, class, colour, relation or number the world does not have.
    """
    generator = torch.Generator().manual_seed(seed)
    return _with_asked_colors(_placed(_contents_of(prompts), generator), prompts)


def broken_scenes_for(prompt: Prompt, seed: int) -> list[tuple[BreakKind, SceneBatch]]:
    """Draw a scene for the prompt and break one requirement at a time.

    ``class`` (always): one object is of a class that the prompt does not name. ``color`` (where one is
    asked): one object has another colour. ``count_fewer`` (where several objects are asked): one is missing.
    ``count_more`` (counting): one too many, newly placed. ``side`` (position): the moved object stands on the
    opposite side.

    Args:
        prompt: Of GenEval's six tasks.
        seed: Of everything drawn.

    Returns:
        (kind, one scene of 5 slots) for each kind that applies, in the order above.

    Raises:
        UsageError: As `scenes_for_prompts`.
    """
    generator = torch.Generator().manual_seed(seed)
    contents = _contents_of([prompt])
    intact = _with_asked_colors(_placed(contents, generator), [prompt])
    broken: list[tuple[BreakKind, SceneBatch]] = [("class", _one_other_class(intact, prompt, generator))]
    if any(requirement.color is not None for requirement in prompt.include):
        broken.append(("color", _one_other_color(intact, generator)))
    if int(objects_shown(contents)) > 1:
        broken.append(("count_fewer", _one_missing(intact, generator)))
    if prompt.task == "counting":
        broken.append(("count_more", _one_too_many(contents, generator)))
    if prompt.task == "position":
        opposite = replace(contents, relation=contents.relation ^ 1)
        broken.append(("side", _placed(opposite, generator)))
    return [(kind, _with_slots(scene, NUM_BROKEN_SLOTS)) for kind, scene in broken]


def exact_relation(moved: Tensor, target: Tensor, relation: Tensor) -> Tensor:
    """Whether GenEval's rule sees this relation between two boxes and no other.

    Args:
        moved: float32 (P, 4) x0 y0 x1 y1, the box of which the relation is said.
        target: float32 (P, 4), the box it is related to.
        relation: int64 (P,), into RELATIONS.

    Returns:
        bool (P,).

    The rule is GenEval's ``relative_position`` (djghosh13/geneval at af4902f, ``evaluate_images.py``) with
    its default slack of 0.1; the scorer has its own, exact to the bit, because the two must not share an
    error.
    """
    offset = (moved[:, :2] + moved[:, 2:] - target[:, :2] - target[:, 2:]) / 2
    extents = (moved[:, 2:] - moved[:, :2]) + (target[:, 2:] - target[:, :2])
    shrunk = offset.sign() * (offset.abs() - _SLACK * extents).clamp_min(0)
    direction = shrunk / offset.norm(dim=-1, keepdim=True).clamp_min(_TOUCHING)
    x, y = direction.unbind(-1)
    seen = torch.stack([x < -_CUT, x > _CUT, y < -_CUT, y > _CUT], dim=-1)
    asked = torch.arange(len(RELATIONS), device=relation.device) == relation[:, None]
    return (seen == asked).all(dim=-1)


def _contents_of(prompts: Sequence[Prompt]) -> Contents:
    """What the prompts ask; unused fields hold a valid filler."""
    names = [_nouns(prompt) for prompt in prompts]
    counts = [max(2, prompt.include[0].count) for prompt in prompts]
    for prompt, count in zip(prompts, counts, strict=True):
        if count not in NUMBER_WORDS:
            raise UsageError(
                f"The openmoji world shows up to {max(NUMBER_WORDS)} objects; prompt {prompt.prompt_id} "
                f"({prompt.text!r}) asks for {count}. Leave it out."
            )
    return Contents(
        task=torch.tensor([_index("task", prompt.task, TASKS) for prompt in prompts]),
        classes=torch.tensor([[_index("class", name, CLASSES) for name in pair] for pair in names]),
        colors=torch.tensor([[0, 1]]).repeat(len(prompts), 1),
        count=torch.tensor(counts),
        relation=torch.tensor([_index("relation", _relation(prompt), RELATIONS) for prompt in prompts]),
    )


def _nouns(prompt: Prompt) -> tuple[str, str]:
    """The classes in the order of the words; GenEval's metadata names the target of a position first."""
    nouns = [requirement.class_name for requirement in prompt.include]
    if prompt.task == "position":
        nouns.reverse()
    return nouns[0], nouns[-1]


def _relation(prompt: Prompt) -> str:
    position = prompt.include[-1].position
    return RELATIONS[0] if position is None else position[0]


def _index(kind: str, name: str, names: tuple[str, ...]) -> int:
    if name not in names:
        raise unknown_name(kind, name, names)
    return names.index(name)


def _placed(contents: Contents, generator: torch.Generator) -> SceneBatch:
    """Place the objects; position scenes are placed again until their relation is exact."""
    bank = load_sprite_bank()
    scenes = place(contents, generator)
    while True:
        rows = _inexact(bank, scenes, contents).nonzero().squeeze(1)
        if len(rows) == 0:
            return scenes
        _overwrite(scenes, rows, place(_rows(contents, rows), generator))


def _inexact(bank: SpriteBank, scenes: SceneBatch, contents: Contents) -> Tensor:
    boxes = truth(bank, scenes).boxes
    exact = exact_relation(boxes[:, 0], boxes[:, 1], contents.relation)
    return (contents.task == POSITION) & ~exact


def _rows(contents: Contents, rows: Tensor) -> Contents:
    return Contents(
        task=contents.task[rows],
        classes=contents.classes[rows],
        colors=contents.colors[rows],
        count=contents.count[rows],
        relation=contents.relation[rows],
    )


def _overwrite(scenes: SceneBatch, rows: Tensor, drawn: SceneBatch) -> None:
    scenes.size_index[rows] = drawn.size_index
    scenes.corner_xy[rows] = drawn.corner_xy
    scenes.background[rows] = drawn.background


def _with_asked_colors(scenes: SceneBatch, prompts: Sequence[Prompt]) -> SceneBatch:
    """The asked colour of the first and the second noun, natural colours elsewhere."""
    color_index = torch.full_like(scenes.color_index, -1)
    for row, prompt in enumerate(prompts):
        for slot, requirement in enumerate(prompt.include):
            if requirement.color is not None:
                color_index[row, slot] = _index("colour", requirement.color, COLORS)
    return replace(scenes, color_index=color_index)


def _one_other_class(scene: SceneBatch, prompt: Prompt, generator: torch.Generator) -> SceneBatch:
    asked = {requirement.class_name for requirement in prompt.include}
    others = [index for index, name in enumerate(CLASSES) if name not in asked]
    return replace(scene, class_index=_set_one(scene.class_index, lambda _: others, generator))


def _one_other_color(scene: SceneBatch, generator: torch.Generator) -> SceneBatch:
    def others(color: int) -> list[int]:
        return [index for index in range(len(COLORS)) if index != color]

    return replace(scene, color_index=_set_one(scene.color_index, others, generator))


def _one_missing(scene: SceneBatch, generator: torch.Generator) -> SceneBatch:
    return replace(scene, class_index=_set_one(scene.class_index, lambda _: [-1], generator))


def _one_too_many(contents: Contents, generator: torch.Generator) -> SceneBatch:
    """The counted object once more than asked, all placed anew: four in the quadrants, five in the grid."""
    count = int(contents.count) + 1
    if count in NUMBER_WORDS:
        return place(replace(contents, count=contents.count + 1), generator)
    scene = _with_slots(place(contents, generator), count)
    layout = layouts.six_cells(1, count, generator)
    return replace(
        scene,
        class_index=contents.classes[:, :1].repeat(1, count),
        size_index=layout.size_index,
        corner_xy=layout.corner_xy,
    )


def _set_one(values: Tensor, options: Callable[[int], Sequence[int]], generator: torch.Generator) -> Tensor:
    """A copy of (1, O) with one used entry (not -1), drawn at random, replaced by one of its options."""
    used = (values[0] >= 0).nonzero().squeeze(1)
    slot = int(used[torch.randint(len(used), (), generator=generator)])
    choices = options(int(values[0, slot]))
    changed = values.clone()
    changed[0, slot] = choices[int(torch.randint(len(choices), (), generator=generator))]
    return changed


def _with_slots(scene: SceneBatch, slots: int) -> SceneBatch:
    """The scene with empty slots added until there are ``slots``."""
    missing = slots - scene.class_index.shape[1]
    return replace(
        scene,
        class_index=torch.nn.functional.pad(scene.class_index, (0, missing), value=-1),
        color_index=torch.nn.functional.pad(scene.color_index, (0, missing), value=-1),
        size_index=torch.nn.functional.pad(scene.size_index, (0, missing)),
        corner_xy=torch.nn.functional.pad(scene.corner_xy, (0, 0, 0, missing)),
    )
