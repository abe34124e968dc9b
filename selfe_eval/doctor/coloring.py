"""The colour model alone on things of known colour, and with R and B exchanged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from selfe_eval.doctor.findings import Finding
from selfe_eval.doctor.judging import Bound
from selfe_eval.doctor.known_images import ColoredCrops
from selfe_eval.score.colors import ColorLabel


class Colors(Protocol):
    """Names the colour of crops."""

    def classify(self, crops: Sequence[NDArray[np.uint8]], class_names: Sequence[str]) -> list[ColorLabel]:
        """One label for each RGB crop of the class beside it."""
        ...


def color_findings(area: str, colors: Colors, known: ColoredCrops, bound: Bound) -> list[Finding]:
    """Does the colour model name known colours, and does it see the order of the channels?

    Args:
        area: Where the findings stand.
        colors: The colour model.
        known: Crops of known colour; red and blue must be among them.
        bound: How often it must be right.

    Returns:
        Two findings: answers, and channel order.
    """
    said = _answers(colors, known, known.crops)
    exchanged = _answers(colors, known, [np.ascontiguousarray(crop[..., ::-1]) for crop in known.crops])
    num_right = sum(answer == color for answer, color in zip(said, known.colors, strict=True))
    is_met = num_right / len(said) >= bound.least
    return [
        Finding(
            area=area,
            name="known colors",
            status="ok" if is_met else "fail",
            found=f"{num_right} of {len(said)} named right; {bound.says}",
            advice="" if is_met else bound.advice,
        ),
        _channel_order(area, known, said, exchanged),
    ]


def _channel_order(area: str, known: ColoredCrops, said: Sequence[str], exchanged: Sequence[str]) -> Finding:
    red, blue = _usual(known, said, "red"), _usual(known, said, "blue")
    red_as_bgr, blue_as_bgr = _usual(known, exchanged, "red"), _usual(known, exchanged, "blue")
    is_right = (red, blue, red_as_bgr) == ("red", "blue", "blue") and blue_as_bgr != "blue"
    return Finding(
        area=area,
        name="channel order",
        status="ok" if is_right else "fail",
        found=f"red is called {red}, and {red_as_bgr} with R and B exchanged; blue is called {blue}, "
        f"and {blue_as_bgr}",
        advice=""
        if is_right
        else "Colours do not follow the pixels: images reach the colour model as BGR or grey, or its weights are "
        "random. Pass RGB (cv2.imread gives BGR), and check the weights.",
    )


def _answers(colors: Colors, known: ColoredCrops, crops: Sequence[NDArray[np.uint8]]) -> list[str]:
    return [label.color for label in colors.classify(crops, known.class_names)]


def _usual(known: ColoredCrops, said: Sequence[str], color: str) -> str:
    """What things of a colour are called most often."""
    answers = (answer for answer, true in zip(said, known.colors, strict=True) if true == color)
    return Counter(answers).most_common(1)[0][0]
