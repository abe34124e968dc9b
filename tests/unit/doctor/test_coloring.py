from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from selfe_eval.doctor.coloring import CSS_COLORS, color_findings, flat_square
from selfe_eval.doctor.findings import Finding
from selfe_eval.doctor.judging import Bound
from selfe_eval.records import COLORS
from selfe_eval.score.colors import ColorLabel

Crop = NDArray[np.uint8]


class NearestColor:
    """Names the CSS colour nearest to the middle of what reaches it: right on flat colours."""

    def __init__(self, sees: Callable[[Crop], Crop] = lambda crop: crop) -> None:
        self._sees = sees

    def classify(self, crops: Sequence[Crop], class_names: Sequence[str]) -> list[ColorLabel]:
        assert len(crops) == len(class_names)
        return [ColorLabel(color=_nearest(self._sees(crop)), margin=1.0) for crop in crops]


class OneAnswer:
    """What random weights do: the same answer to everything."""

    def classify(self, crops: Sequence[Crop], class_names: Sequence[str]) -> list[ColorLabel]:
        del class_names
        return [ColorLabel(color="brown", margin=0.1) for _ in crops]


def _nearest(crop: Crop) -> str:
    middle = crop[crop.shape[0] // 2, crop.shape[1] // 2].astype(int)
    return min(COLORS, key=lambda color: float(np.abs(middle - np.array(CSS_COLORS[color])).sum()))


def _grey(crop: Crop) -> Crop:
    return np.repeat(crop.mean(axis=-1, keepdims=True).astype(np.uint8), 3, axis=-1)


def judged(colors: NearestColor | OneAnswer) -> tuple[Finding, Finding]:
    bound = Bound(least=0.7, origin="chosen", advice="mend it")
    answers, order = color_findings("official colors", colors, bound)
    return answers, order


def test_a_classifier_that_sees_colours_passes() -> None:
    """All ten are named right, and exchanging R and B turns red into blue."""
    answers, order = judged(NearestColor())
    assert (answers.status, order.status) == ("ok", "ok")
    assert answers.found == "10 of 10 judged right; at least 70% must be (chosen)"
    assert order.found == "red is called red, and blue with R and B exchanged; blue is called blue, and red"


@pytest.mark.parametrize(
    "broken", [NearestColor(lambda crop: crop[..., ::-1]), NearestColor(_grey), OneAnswer()]
)
def test_exchanged_channels_grey_and_random_answers_fail_twice(broken: NearestColor | OneAnswer) -> None:
    """Each names too few colours and does not follow red and blue; either finding alone would do."""
    answers, order = judged(broken)
    assert (answers.status, order.status) == ("fail", "fail")
    assert answers.advice == "mend it"
    assert "BGR" in order.advice


def test_flat_squares_are_the_ten_css_colors_on_the_crops_grey() -> None:
    """One for each colour, its middle exactly that colour, its corner the reference's grey 153."""
    assert set(CSS_COLORS) == set(COLORS)
    for color, rgb in CSS_COLORS.items():
        assert tuple(flat_square(color)[112, 112]) == rgb
        assert tuple(flat_square(color)[0, 0]) == (153, 153, 153)
