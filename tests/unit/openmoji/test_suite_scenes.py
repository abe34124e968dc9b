from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from selfe_eval.errors import UsageError
from selfe_eval.openmoji.scenes import SceneBatch
from selfe_eval.openmoji.suite_scenes import (
    NUM_BROKEN_SLOTS,
    broken_scenes_for,
    exact_relation,
    scenes_for_prompts,
)
from selfe_eval.records import RELATIONS, Prompt, ScoredObject
from selfe_eval.score.geneval.relation import relations
from selfe_eval.score.geneval.rules import evaluate
from selfe_eval.suites.registry import load_suite

Look = Callable[[SceneBatch], list[dict[str, list[ScoredObject]]]]

KINDS_OF_TASK = {
    "single_object": ["class"],
    "two_object": ["class", "count_fewer"],
    "counting": ["class", "count_fewer", "count_more"],
    "colors": ["class", "color"],
    "position": ["class", "count_fewer", "side"],
    "color_attr": ["class", "color", "count_fewer"],
}
PROMPTS = tuple(load_suite("openmoji").prompts)
PROMPT_OF_TASK = {prompt.task: prompt for prompt in PROMPTS}


@pytest.mark.parametrize("seed", [0, 1])
def test_every_official_prompt_has_a_scene_that_satisfies_it(objects_seen: Look, seed: int) -> None:
    """GenEval's rules call all 553 correct, and nothing is there that was not asked."""
    scenes = scenes_for_prompts(PROMPTS, seed)
    for prompt, seen in zip(PROMPTS, objects_seen(scenes), strict=True):
        assert evaluate(prompt, seen).correct, (prompt.text, evaluate(prompt, seen).reason)
        asked = {requirement.class_name: requirement.count for requirement in prompt.include}
        assert {name: len(objects) for name, objects in seen.items()} == asked


def test_uncoloured_prompts_show_natural_colours() -> None:
    """A slot has a colour exactly where the prompt names one."""
    scenes = scenes_for_prompts(PROMPTS, 0)
    for prompt, colors in zip(PROMPTS, scenes.color_index.tolist(), strict=True):
        asked = sum(requirement.color is not None for requirement in prompt.include)
        assert sum(color >= 0 for color in colors) == asked, prompt.text


def test_suite_scenes_depend_on_the_seed_alone() -> None:
    """The same prompts and seed give the same places; another seed gives others."""
    first, again, other = (scenes_for_prompts(PROMPTS[:40], seed).corner_xy for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("prompt", PROMPTS[::11], ids=lambda prompt: prompt.text)
def test_a_broken_scene_breaks_one_thing(objects_seen: Look, prompt: Prompt) -> None:
    """Every kind of the task occurs, the rules call it wrong, and one thing alone is not as asked."""
    broken = broken_scenes_for(prompt, 17)
    assert [kind for kind, _ in broken] == KINDS_OF_TASK[prompt.task]
    number = sum(requirement.count for requirement in prompt.include)
    for kind, scene in broken:
        seen = objects_seen(scene)[0]
        assert not evaluate(prompt, seen).correct, kind
        assert scene.class_index.shape == (1, NUM_BROKEN_SLOTS)
        shown = number + {"count_more": 1, "count_fewer": -1}.get(kind, 0)
        assert sum(len(objects) for objects in seen.values()) == shown
        foreign = set(seen) - {requirement.class_name for requirement in prompt.include}
        assert len(foreign) == (1 if kind == "class" else 0)


def test_a_broken_scene_satisfies_the_prompt_with_that_thing_changed(objects_seen: Look) -> None:
    """The opposite side is right for the opposite prompt, one more for one more, one fewer for one fewer."""
    position, counting = PROMPT_OF_TASK["position"], PROMPT_OF_TASK["counting"]
    target, moved = position.include
    assert moved.position is not None
    opposite = RELATIONS[RELATIONS.index(moved.position[0]) ^ 1]
    mirrored = replace(position, include=(target, replace(moved, position=(opposite, 0))))
    assert evaluate(mirrored, objects_seen(dict(broken_scenes_for(position, 2))["side"])[0]).correct
    broken = dict(broken_scenes_for(counting, 2))
    for scene, change in ((broken["count_more"], 1), (broken["count_fewer"], -1)):
        (wanted,) = counting.include
        other = replace(
            counting,
            include=(replace(wanted, count=wanted.count + change),),
            exclude=(replace(wanted, count=wanted.count + change + 1),),
        )
        assert evaluate(other, objects_seen(scene)[0]).correct


def test_five_objects_fit_into_a_scene(objects_seen: Look) -> None:
    """One more than four is five of the class, none overlapping."""
    four = next(prompt for prompt in PROMPTS if prompt.task == "counting" and prompt.include[0].count == 4)
    scene = dict(broken_scenes_for(four, 0))["count_more"]
    (objects,) = objects_seen(scene)[0].values()
    assert len(objects) == 5
    corners = scene.corner_xy[0]
    apart = (corners[:, None] - corners[None, :]).abs().amax(dim=-1) >= 20
    assert bool((apart | torch.eye(5, dtype=torch.bool)).all())


def test_exact_relation_agrees_with_the_scorer() -> None:
    """True where the reference's rule sees the relation and nothing else (2,000 random pairs of boxes)."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.randint(0, 65, (2000, 2, 2, 2), generator=generator).sort(dim=2).values
    boxes = corners.flatten(2).float()
    asked = torch.randint(4, (2000,), generator=generator)
    expected = [
        relations(tuple(a), tuple(b)) == (RELATIONS[relation],)
        for (a, b), relation in zip(boxes.tolist(), asked.tolist(), strict=True)
    ]
    assert exact_relation(boxes[:, 0], boxes[:, 1], asked).tolist() == expected
    assert 0 < sum(expected) < 2000


def test_what_the_world_cannot_show_is_refused() -> None:
    """More than four objects, an unknown class, colour, relation or task: an error that names it."""
    counting, colors, position = (PROMPT_OF_TASK[task] for task in ("counting", "colors", "position"))
    seven = replace(counting, include=(replace(counting.include[0], count=7),))
    with pytest.raises(UsageError, match=r"up to 4 objects.*asks for 7"):
        scenes_for_prompts([seven], 0)
    dragon = replace(counting, include=(replace(counting.include[0], class_name="dragon"),))
    with pytest.raises(UsageError, match="class 'dragon'"):
        scenes_for_prompts([dragon], 0)
    grey = replace(colors, include=(replace(colors.include[0], color="grey"),))
    with pytest.raises(UsageError, match="colour 'grey'"):
        scenes_for_prompts([grey], 0)
    behind = replace(
        position, include=(position.include[0], replace(position.include[1], position=("behind", 0)))
    )
    with pytest.raises(UsageError, match="relation 'behind'"):
        scenes_for_prompts([behind], 0)
    with pytest.raises(UsageError, match="task 'mood'"):
        scenes_for_prompts([replace(colors, task="mood")], 0)
