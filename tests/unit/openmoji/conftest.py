from __future__ import annotations

from collections.abc import Callable

import pytest

from selfe_eval.openmoji.scenes import SceneBatch, truth
from selfe_eval.openmoji.sprites import SpriteBank, load_sprite_bank
from selfe_eval.records import COLORS, ScoredObject
from selfe_eval.suites.vocabulary import CLASSES

Objects = dict[str, list[ScoredObject]]


@pytest.fixture(scope="session")
def bank() -> SpriteBank:
    return load_sprite_bank()


@pytest.fixture(scope="session")
def objects_seen(bank: SpriteBank) -> Callable[[SceneBatch], list[Objects]]:
    """What a perfect detector and colour classifier report of each scene."""

    def look(scenes: SceneBatch) -> list[Objects]:
        boxes = truth(bank, scenes).boxes.tolist()
        rows = zip(scenes.class_index.tolist(), scenes.color_index.tolist(), boxes, strict=True)
        return [_objects(*row) for row in rows]

    return look


def _objects(classes: list[int], colors: list[int], boxes: list[list[float]]) -> Objects:
    objects: Objects = {}
    for index, color, (x0, y0, x1, y1) in zip(classes, colors, boxes, strict=True):
        if index >= 0:
            name = None if color < 0 else COLORS[color]
            found = ScoredObject(box=(x0, y0, x1, y1), score=1.0, color=name)
            objects.setdefault(CLASSES[index], []).append(found)
    return objects
