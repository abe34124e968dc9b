"""The colour model alone on flat squares of known colour, and with R and B exchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from selfe_eval.doctor.findings import Finding
from selfe_eval.doctor.judging import Bound
from selfe_eval.score.colors import ColorLabel
from selfe_eval.score.geneval.crops import GREY

CSS_COLORS = {
    "red": (255, 0, 0),
    "orange": (255, 165, 0),
    "yellow": (255, 255, 0),
    "green": (0, 128, 0),
    "blue": (0, 0, 255),
    "purple": (128, 0, 128),
    "pink": (255, 192, 203),
    "brown": (139, 69, 19),
    "black": (0, 0, 0),
    "white": (255, 255, 255),
}
"""RGB of GenEval's ten colours as CSS defines these names (W3C CSS Color Module 4, section 6.1)."""


class Colors(Protocol):
    """Names the colour of crops."""

    def classify(self, crops: Sequence[NDArray[np.uint8]], class_names: Sequence[str]) -> list[ColorLabel]:
        """One label for each RGB crop of the class beside it."""
        ...


def color_findings(area: str, colors: Colors, bound: Bound) -> list[Finding]:
    """Does the colour model name known colours, and does it see the order of the channels?

    Args:
        area: Where the findings stand.
        colors: The colour model.
        bound: How often it must be right.

    Returns:
        Two findings: answers, and channel order.
    """
    squares = {color: flat_square(color) for color in CSS_COLORS}
    said = _named(colors, squares)
    swapped = _named(
        colors, {color: np.ascontiguousarray(crop[..., ::-1]) for color, crop in squares.items()}
    )
    num_right = sum(answer == color for color, answer in said.items())
    follows = (said["red"], said["blue"], swapped["red"]) == ("red", "blue", "blue")
    is_right = follows and swapped["blue"] != "blue"
    order = Finding(
        area=area,
        name="channel order",
        status="ok" if is_right else "fail",
        found=f"red is called {said['red']}, and {swapped['red']} with R and B exchanged; blue is called "
        f"{said['blue']}, and {swapped['blue']}",
        advice=""
        if is_right
        else "Colours do not follow the pixels: images reach the colour model as BGR or grey, or its weights are "
        "random. Pass RGB (cv2.imread gives BGR), and check the weights.",
    )
    return [bound.finding(area, "known colors", num_right, len(said)), order]


def flat_square(color: str) -> NDArray[np.uint8]:
    """A square of a CSS colour, 160 px within a border of the crops' grey: RGB (224, 224, 3)."""
    square = np.full((160, 160, 3), CSS_COLORS[color], np.uint8)
    return np.pad(square, ((32, 32), (32, 32), (0, 0)), constant_values=GREY)


def _named(colors: Colors, squares: Mapping[str, NDArray[np.uint8]]) -> dict[str, str]:
    """True colour -> what it is called."""
    labels = colors.classify(list(squares.values()), ["object"] * len(squares))
    return {color: label.color for color, label in zip(squares, labels, strict=True)}
