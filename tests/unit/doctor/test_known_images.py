from __future__ import annotations

from collections import Counter

import numpy as np

from selfe_eval.doctor.known_images import (
    CSS_COLORS,
    EASY_CLASSES,
    colored_objects,
    flat_colors,
    known_pictures,
    known_scenes,
)
from selfe_eval.openmoji.palette import PAINT
from selfe_eval.records import COLORS, TASKS


def test_scenes_cover_every_task_alike_and_are_always_the_same() -> None:
    """Twenty intact scenes a task, at least one broken one a prompt, the same bytes each time."""
    intact, broken = known_scenes()
    again, _ = known_scenes()

    assert Counter(prompt.task for prompt in intact.prompts) == dict.fromkeys(TASKS, 20)
    assert {prompt.prompt_id for prompt in broken.prompts} == {prompt.prompt_id for prompt in intact.prompts}
    assert (len(intact.images), len(broken.images)) == (len(intact.prompts), len(broken.prompts))
    assert np.array_equal(intact.images.pixels, again.images.pixels)
    assert (intact.correct, broken.correct) == (True, False)


def test_some_of_the_images_are_spread_over_all_of_them() -> None:
    """Six of them are one of each task, each still with its own prompt."""
    intact, _ = known_scenes()
    some = intact.some(6)

    assert [prompt.task for prompt in some.prompts] == list(TASKS)
    for image, prompt in zip(some.images.pixels, some.prompts, strict=True):
        assert np.array_equal(image, intact.images.pixels[intact.prompts.index(prompt)])


def test_pictures_show_one_large_thing_and_ask_for_it() -> None:
    """Each prompt asks for one object of the class drawn, which covers a good part of a grey canvas."""
    known = known_pictures()

    assert known.images.pixels.shape == (10, 512, 512, 3)
    assert [prompt.include[0].class_name for prompt in known.prompts] == list(EASY_CLASSES)
    assert {(prompt.task, prompt.include[0].count) for prompt in known.prompts} == {("single_object", 1)}
    painted = (known.images.pixels != 236).any(axis=-1).mean(axis=(1, 2))
    assert painted.min() > 0.03


def test_colored_objects_are_painted_as_they_are_called() -> None:
    """Of the nine paints that outlines do not have, each crop has its own most, and each colour comes equally often."""
    known = colored_objects(every=16)
    paints = [color for color in COLORS if color != "black"]

    assert Counter(known.colors) == dict.fromkeys(COLORS, 5)
    for crop, color in zip(known.crops, known.colors, strict=True):
        distances = [np.abs(crop.astype(int) - np.array(PAINT[paint])).sum(axis=-1) for paint in paints]
        close = [int((distance < 100).sum()) for distance in distances]
        assert color == "black" or paints[int(np.argmax(close))] == color


def test_flat_colors_are_the_ten_css_colors_on_the_crops_grey() -> None:
    """One square for each colour, its middle exactly that colour, its corner the reference's grey 153."""
    known = flat_colors()

    assert known.colors == list(COLORS)
    for crop, color in zip(known.crops, known.colors, strict=True):
        assert tuple(crop[112, 112]) == CSS_COLORS[color]
        assert tuple(crop[0, 0]) == (153, 153, 153)
