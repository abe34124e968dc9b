"""Laws of the openmoji world's scenes."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from selfe_eval.openmoji.scenes import SceneBatch, truth
from selfe_eval.openmoji.sprites import SIZES_PX, load_sprite_bank
from selfe_eval.openmoji.suite_scenes import broken_scenes_for, scenes_for_prompts
from selfe_eval.openmoji.training_scenes import sample_training_scenes
from selfe_eval.records import Prompt
from selfe_eval.suites.heldout import is_unseen
from selfe_eval.suites.registry import load_suite

LAW = settings(deadline=None, max_examples=25)
PROMPTS = load_suite("openmoji").prompts
seeds = st.integers(0, 2**63 - 1)
prompts = st.sampled_from(PROMPTS)


def assert_well_placed(scenes: SceneBatch) -> None:
    """Squares inside the canvas and apart from each other; boxes inside their squares."""
    side = torch.tensor(SIZES_PX)[scenes.size_index]
    shown = scenes.class_index >= 0
    low, high = scenes.corner_xy, scenes.corner_xy + side[..., None]
    assert bool(((low >= 0) & (high <= 64))[shown].all())
    apart = (low[:, :, None] >= high[:, None, :]).any(dim=-1)
    apart |= apart.transpose(1, 2) | torch.eye(shown.shape[1], dtype=torch.bool)
    both = shown[:, :, None] & shown[:, None, :]
    assert bool((apart | ~both).all())
    boxes = truth(load_sprite_bank(), scenes).boxes
    assert bool(((boxes[..., :2] >= low) & (boxes[..., 2:] <= high))[shown].all())
    assert bool((boxes[..., 2:] > boxes[..., :2])[shown].all())


@LAW
@given(seed=seeds, include_held_out=st.booleans())
def test_objects_of_training_scenes_are_inside_and_apart(seed: int, *, include_held_out: bool) -> None:
    """Whatever the seed, no object leaves the canvas or touches another's square."""
    assert_well_placed(sample_training_scenes(64, seed, include_held_out=include_held_out).scenes)


@LAW
@given(seeds, st.integers(1, 100))
def test_training_scenes_never_show_a_held_out_combination(seed: int, num_scenes: int) -> None:
    """Whatever the seed and the number, no prompt is unseen."""
    labelled = sample_training_scenes(num_scenes, seed, include_held_out=False)
    assert len(labelled.prompts) == len(labelled.scenes) == num_scenes
    assert not any(is_unseen(prompt) for prompt in labelled.prompts)


@LAW
@given(st.lists(prompts, min_size=1, max_size=20), seeds)
def test_scenes_for_prompts_are_inside_and_apart(some: list[Prompt], seed: int) -> None:
    """Whatever is asked, and in whatever order."""
    assert_well_placed(scenes_for_prompts(some, seed))


@LAW
@given(prompts, seeds)
def test_broken_scenes_are_inside_and_apart(prompt: Prompt, seed: int) -> None:
    """Breaking a requirement never breaks the layout."""
    for _, scene in broken_scenes_for(prompt, seed):
        assert_well_placed(scene)
