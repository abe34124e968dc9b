from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable

import pytest
import torch

from selfe_eval.openmoji.scenes import SceneBatch, render
from selfe_eval.openmoji.sprites import SpriteBank
from selfe_eval.openmoji.training_scenes import TASK_SHARES, LabelledScenes, sample_training_scenes
from selfe_eval.records import TASKS, ScoredObject
from selfe_eval.score.geneval.rules import evaluate
from selfe_eval.suites.heldout import is_unseen

FIELDS = ("class_index", "color_index", "size_index", "corner_xy", "background")


@pytest.fixture(scope="module")
def labelled() -> LabelledScenes:
    return sample_training_scenes(4000, 5, include_held_out=False)


def test_scenes_depend_on_the_seed_alone() -> None:
    """The same number and seed give the same scenes and captions; another seed gives others."""
    first, again, other = (sample_training_scenes(64, seed, include_held_out=False) for seed in (1, 1, 2))
    assert all(torch.equal(getattr(first.scenes, name), getattr(again.scenes, name)) for name in FIELDS)
    assert first.prompts == again.prompts
    assert first.prompts != other.prompts


def test_training_scenes_hold_nothing_back_out_of_hand(labelled: LabelledScenes) -> None:
    """No caption contains a held-out combination unless it is asked for, and then some do."""
    everything = sample_training_scenes(2000, 5, include_held_out=True)
    assert not any(is_unseen(prompt) for prompt in labelled.prompts)
    assert any(is_unseen(prompt) for prompt in everything.prompts)


def test_every_caption_is_true_of_its_scene(
    labelled: LabelledScenes, objects_seen: Callable[[SceneBatch], list[dict[str, list[ScoredObject]]]]
) -> None:
    """GenEval's rules, given the truth, call every training scene correct for its own caption."""
    verdicts = zip(labelled.prompts, objects_seen(labelled.scenes), strict=True)
    reasons = [(prompt.text, evaluate(prompt, seen).reason) for prompt, seen in verdicts]
    assert [(text, reason) for text, reason in reasons if reason] == []


def test_prompt_ids_count_the_scenes(labelled: LabelledScenes) -> None:
    """prompts[i].prompt_id is i."""
    assert [prompt.prompt_id for prompt in labelled.prompts] == list(range(4000))


def test_tasks_have_their_shares() -> None:
    """With held-out combinations kept, shares lie within five standard errors of the documented ones."""
    counts = Counter(prompt.task for prompt in sample_training_scenes(4000, 3, include_held_out=True).prompts)
    for task, share in zip(TASKS, TASK_SHARES, strict=True):
        assert abs(counts[task] / 4000 - share) < 5 * (share * (1 - share) / 4000) ** 0.5, task


def test_no_person_is_asked_to_be_coloured(labelled: LabelledScenes) -> None:
    """As in GenEval, person never has a colour."""
    asked = (requirement for prompt in labelled.prompts for requirement in prompt.include)
    assert not any(one.class_name == "person" and one.color is not None for one in asked)


def test_the_world_the_bundled_models_know_is_unchanged(bank: SpriteBank) -> None:
    """The first scenes of seed 0 keep the bits the bundled models were trained on.

    The figures were computed when training began. Whoever changes a picture, a paint, a layout or a draw has
    changed the world, and must train the models again.
    """
    labelled = sample_training_scenes(256, 0, include_held_out=False)
    fields = b"".join(getattr(labelled.scenes, name).numpy().tobytes() for name in FIELDS)
    assert hashlib.sha256(fields).hexdigest()[:16] == "d1ec07c1705f770e"
    mean = render(bank, labelled.scenes).double().mean(dim=(0, 2, 3)).tolist()
    assert mean == pytest.approx([212.621, 208.861, 206.4], abs=0.05)
