from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from selfe_eval.errors import UntrustworthyError
from selfe_eval.generate.contract import checked_images, stated_description, stated_nfe
from tests.fakes import FakeGenerator


class Says(FakeGenerator):
    """A generator that says anything."""

    def __init__(self, said: Any) -> None:
        super().__init__()
        self.said = said

    def nfe(self, num_steps: int) -> Any:
        assert num_steps == 4
        return self.said

    def describe(self) -> Any:
        return self.said


@pytest.mark.parametrize(("said", "recorded"), [(None, None), (3, 3), (np.int64(3), 3)])
def test_evaluations_are_counted_or_not_known(said: object, recorded: int | None) -> None:
    """A whole number is recorded as one that JSON can hold; None stays unknown."""
    assert stated_nfe(Says(said), 4) == recorded
    assert type(stated_nfe(Says(said), 4)) is type(recorded)


@pytest.mark.parametrize("said", [0, -1, 2.0, True, "8", float("nan")])
def test_other_counts_of_evaluations_are_refused(said: object) -> None:
    """An adapter that counts in halves, words or nothing is broken, and no run records it."""
    with pytest.raises(UntrustworthyError, match=r"fake says nfe\(4\)"):
        stated_nfe(Says(said), 4)


def test_a_description_is_recorded_as_json_gives_it_back() -> None:
    """Tuples become lists at once, so that a record equals what is read from its file."""
    assert stated_description(Says({"sizes": (1, 2)})) == {"sizes": [1, 2]}


@pytest.mark.parametrize("said", [{"scale": float("nan")}, {"weights": {1, 2}}, ["a"], None])
def test_other_descriptions_are_refused(said: object) -> None:
    """What JSON cannot hold, or is no object, is refused before an image is drawn."""
    with pytest.raises(UntrustworthyError, match="describes itself"):
        stated_description(Says(said))


@pytest.mark.parametrize(
    "images",
    [
        [np.zeros((8, 8, 3), np.uint8)],
        np.zeros((2, 8, 8, 3), np.float32),
        np.zeros((1, 8, 8, 3), np.uint8),
        np.zeros((2, 3, 8, 8), np.uint8),
        np.zeros((2, 0, 8, 3), np.uint8),
        np.zeros((8, 8, 3), np.uint8),
    ],
)
def test_other_images_are_refused(images: Any) -> None:
    """Lists, floats, planes, a missing image and empty ones are all named for what they are."""
    with pytest.raises(UntrustworthyError, match=r"returned .* for 2 prompts; expected uint8 images"):
        checked_images(FakeGenerator(), images, 2)
