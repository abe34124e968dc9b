from __future__ import annotations

from collections import Counter

import numpy as np

from selfe_eval.doctor.known_images import EASY_CLASSES, known_pictures, known_scenes
from selfe_eval.records import TASKS


def test_scenes_cover_every_task_alike_and_are_always_the_same() -> None:
    """Four scenes a task, one for each prompt, the same bytes each time."""
    known, again = known_scenes(24), known_scenes(24)

    assert Counter(prompt.task for prompt in known.prompts) == dict.fromkeys(TASKS, 4)
    assert known.images.pixels.shape == (24, 64, 64, 3)
    assert np.array_equal(known.images.pixels, again.images.pixels)


def test_pictures_show_one_large_thing_and_ask_for_it() -> None:
    """Each prompt asks for one object of the class drawn, which covers a good part of a grey canvas."""
    known = known_pictures()

    assert known.images.pixels.shape == (10, 512, 512, 3)
    assert [prompt.include[0].class_name for prompt in known.prompts] == list(EASY_CLASSES)
    assert {(prompt.task, prompt.include[0].count) for prompt in known.prompts} == {("single_object", 1)}
    painted = (known.images.pixels != 236).any(axis=-1).mean(axis=(1, 2))
    assert painted.min() > 0.03
