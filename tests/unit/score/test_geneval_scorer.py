from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from selfe_eval.records import Prompt, Requirement
from selfe_eval.score.colors import ColorLabel
from selfe_eval.score.detectors.protocol import Detections, RgbImages, Thresholds
from selfe_eval.score.geneval_scorer import SCORING_VERSION, GenEvalScorer
from selfe_eval.suites.vocabulary import CLASSES

CAR, DOG = CLASSES.index("car"), CLASSES.index("dog")


class _TwoHalves:
    """Sees a car in the left half and a dog in the right half of every image."""

    name = "halves"
    thresholds = Thresholds(confidence=0.4, counting=0.8)

    def __init__(self, scores: tuple[float, float] = (0.9, 0.5)) -> None:
        self._scores = scores

    def detect(self, images: RgbImages, *, floor: float = 0.0) -> list[Detections]:
        self.floor = floor
        masks = np.zeros((2, 8, 8), bool)
        masks[0, :, :4] = masks[1, :, 4:] = True
        return [
            Detections(
                class_index=np.array([CAR, DOG]),
                boxes=np.array([[0, 0, 4, 8], [4, 0, 8, 8]], np.float32),
                scores=np.array(self._scores, np.float32),
                masks=masks,
            )
            for _ in range(len(images))
        ]

    def describe(self) -> dict[str, Any]:
        return {"detector": self.name}


class _RedOrBlue:
    """Calls a crop red if its red channel is the brighter one, and remembers what it was asked."""

    def __init__(self, margin: float = 1.0) -> None:
        self._margin = margin
        self.asked: list[str] = []

    def classify(self, crops: list[NDArray[np.uint8]], class_names: list[str]) -> list[ColorLabel]:
        self.asked += class_names
        return [
            ColorLabel(color="red" if crop[0, 0, 0] > crop[0, 0, 2] else "blue", margin=self._margin)
            for crop in crops
        ]

    def describe(self) -> dict[str, Any]:
        return {"color_model": "two"}


def _scorer(detector: _TwoHalves, colors: _RedOrBlue) -> GenEvalScorer:
    return GenEvalScorer(detector, colors)  # type: ignore[arg-type]  # a fake with the two methods in use


def _red_then_blue(num_images: int) -> RgbImages:
    pixels = np.zeros((num_images, 8, 8, 3), np.uint8)
    pixels[:, :, :4, 0] = 255
    pixels[:, :, 4:, 2] = 255
    return RgbImages(pixels=pixels)


def _prompt(task: str, *include: Requirement) -> Prompt:
    return Prompt(prompt_id=0, task=task, text="", include=include)


def _want(class_name: str, color: str | None = None) -> Requirement:
    return Requirement(class_name=class_name, count=1, color=color)


def test_colors_are_asked_only_where_the_verdict_needs_them() -> None:
    """Prompts without colours cost no colour model, and all images share one batch."""
    colors = _RedOrBlue()
    prompts = [
        _prompt("single_object", _want("car")),
        _prompt("colors", _want("car", "red")),
        _prompt("color_attr", _want("car", "red"), _want("dog", "blue")),
    ]
    scores = _scorer(_TwoHalves(), colors).score(_red_then_blue(3), prompts)
    assert [score.correct for score in scores] == [True, True, True]
    assert colors.asked == ["car", "car", "dog"]
    assert scores[0].objects["car"][0].color is None
    assert scores[2].objects["dog"][0].color == "blue"


def test_the_detectors_own_thresholds_decide() -> None:
    """An object above the confidence but below the counting threshold does not count in counting."""
    scorer = _scorer(_TwoHalves(scores=(0.9, 0.5)), _RedOrBlue())
    found, counted = scorer.score(
        _red_then_blue(2), [_prompt("single_object", _want("dog")), _prompt("counting", _want("dog"))]
    )
    assert (found.correct, counted.correct) == (True, False)
    assert counted.reason == "expected dog>=1, found 0"
    assert set(counted.objects) == {"car"}


def test_swapped_channels_change_the_verdict() -> None:
    """BGR instead of RGB makes a red car blue: the mistake of several GenEval forks cannot go unseen."""
    right = _red_then_blue(1)
    swapped = RgbImages(pixels=right.pixels[..., ::-1].copy())
    scorer = _scorer(_TwoHalves(), _RedOrBlue())
    prompt = _prompt("colors", _want("car", "red"))
    assert scorer.score(right, [prompt])[0].correct is True
    assert scorer.score(swapped, [prompt])[0].correct is False


def test_near_ties_are_counted() -> None:
    """Every colour that rounding could turn is counted on its image."""
    scorer = _scorer(_TwoHalves(), _RedOrBlue(margin=0.001))
    (score,) = scorer.score(
        _red_then_blue(1), [_prompt("color_attr", _want("car", "red"), _want("dog", "blue"))]
    )
    assert score.near_ties == 2


def test_objects_that_barely_miss_are_kept_apart() -> None:
    """What scores within 0.1 below the threshold is recorded with its colour, and changes no verdict."""
    detector = _TwoHalves(scores=(0.9, 0.35))
    (score,) = _scorer(detector, _RedOrBlue()).score(
        _red_then_blue(1), [_prompt("colors", _want("dog", "blue"))]
    )
    assert detector.floor == pytest.approx(0.3)
    assert (score.correct, score.reason) == (False, "expected dog>=1, found 0")
    assert set(score.objects) == {"car"}
    assert [(name, found[0].color) for name, found in score.weaker.items()] == [("dog", "blue")]


def test_only_deciding_colors_count_as_near_ties() -> None:
    """The colour of an object below the threshold decides nothing, so its tie is none."""
    scorer = _scorer(_TwoHalves(scores=(0.9, 0.35)), _RedOrBlue(margin=0.001))
    (score,) = scorer.score(_red_then_blue(1), [_prompt("colors", _want("dog", "blue"))])
    assert score.near_ties == 0


def test_every_image_needs_its_prompt() -> None:
    """Too few prompts are an error, not a shorter result."""
    with pytest.raises(ValueError, match="zip"):
        _scorer(_TwoHalves(), _RedOrBlue()).score(_red_then_blue(2), [_prompt("single_object", _want("car"))])


def test_the_record_names_both_models() -> None:
    """What is recorded beside the scores covers detector, colour model and the version of what joins them."""
    assert _scorer(_TwoHalves(), _RedOrBlue()).describe() == {
        "scoring": SCORING_VERSION,
        "detector": "halves",
        "color_model": "two",
    }
