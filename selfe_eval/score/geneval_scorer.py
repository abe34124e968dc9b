"""From images and prompts to verdicts: where detector, colour classifier and GenEval's rules meet.

Two phases, so that the colour model sees one batch: detect, keep and ask which objects' colours matter; then
classify those of all images together, and decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfe_eval.records import Prompt, ScoredObject
from selfe_eval.score.colors import ColorClassifier
from selfe_eval.score.detectors.protocol import Detections, Detector, RgbImages
from selfe_eval.score.detectors.registry import load_detector
from selfe_eval.score.geneval.crops import masked_crop
from selfe_eval.score.geneval.rules import Limits, evaluate, keep_objects, objects_needing_color
from selfe_eval.suites.vocabulary import CLASSES

Objects = dict[str, list[ScoredObject]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageScore:
    """The verdict on one image, with its evidence."""

    correct: bool | None
    """Whether the image shows what its prompt asks for; None if it could not be scored."""
    reason: str
    """The reference's sentences; empty if correct."""
    objects: Objects
    """Class name -> the objects that counted, best first; those whose colour mattered have one."""
    near_ties: int
    """How many colours rounding could have decided otherwise."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """One image after detection."""

    kept: Objects
    crops: list[NDArray[np.uint8]]
    places: list[tuple[str, int]]
    """(class name, index in kept) of each crop."""


class GenEvalScorer:
    """A detector and a colour classifier under GenEval's rules, with the detector's own thresholds."""

    def __init__(self, detector: Detector, color_classifier: ColorClassifier) -> None:
        self._detector = detector
        self._colors = color_classifier
        thresholds = detector.thresholds
        self._limits = Limits(
            confidence=thresholds.confidence,
            counting=thresholds.counting,
            max_objects=thresholds.max_objects,
        )

    def score(self, images: RgbImages, prompts: Sequence[Prompt]) -> list[ImageScore]:
        """Judge images.

        Args:
            images: B images, RGB.
            prompts: The B prompts they were made for.

        Returns:
            B scores, in order.

        Raises:
            ValueError: Not one prompt for each image.
            UsageError: The detector does not take images of this size.
        """
        found = self._detector.detect(images)
        seen = [
            self._look(prompt, detections, pixels)
            for prompt, detections, pixels in zip(prompts, found, images.pixels, strict=True)
        ]
        labels = iter(
            self._colors.classify(
                [crop for image in seen for crop in image.crops],
                [class_name for image in seen for class_name, _ in image.places],
            )
        )
        scores = []
        for prompt, image in zip(prompts, seen, strict=True):
            own = [next(labels) for _ in image.places]
            for (class_name, index), label in zip(image.places, own, strict=True):
                image.kept[class_name][index] = replace(image.kept[class_name][index], color=label.color)
            verdict = evaluate(prompt, image.kept, self._limits)
            scores.append(
                ImageScore(
                    correct=verdict.correct,
                    reason=verdict.reason,
                    objects=image.kept,
                    near_ties=sum(label.is_near_tie for label in own),
                )
            )
        return scores

    def describe(self) -> dict[str, Any]:
        """What to record beside the scores: weights, thresholds, versions, device."""
        return {**self._detector.describe(), **self._colors.describe()}

    def _look(self, prompt: Prompt, detections: Detections, pixels: NDArray[np.uint8]) -> _Seen:
        raw, rows = _by_class(detections)
        kept = keep_objects(raw, prompt.task, self._limits)
        places = objects_needing_color(prompt, kept)
        crops = []
        for class_name, index in places:
            chosen = kept[class_name][index]
            row = rows[class_name][raw[class_name].index(chosen)]
            crops.append(masked_crop(pixels, detections.masks[row], chosen.box))
        return _Seen(kept, crops, places)


def build_scorer(detector_name: str = "openmoji", device: str = "cpu") -> GenEvalScorer:
    """Load a detector and the colour model that goes with it.

    Args:
        detector_name: A key of the detectors' table.
        device: A torch device string.

    Raises:
        UsageError: Unknown name, or weights that are missing or corrupt.
    """
    return GenEvalScorer(load_detector(detector_name, device), ColorClassifier.bundled(device))


def _by_class(detections: Detections) -> tuple[Objects, dict[str, list[int]]]:
    """Detections under their class names, and the row each came from."""
    objects: Objects = {}
    rows: dict[str, list[int]] = {}
    for row, class_index in enumerate(detections.class_index):
        x0, y0, x1, y1 = (float(edge) for edge in detections.boxes[row])
        name = CLASSES[class_index]
        objects.setdefault(name, []).append(
            ScoredObject(box=(x0, y0, x1, y1), score=float(detections.scores[row]))
        )
        rows.setdefault(name, []).append(row)
    return objects, rows
