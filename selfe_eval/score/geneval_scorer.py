"""From images and prompts to verdicts: where detector, colour classifier and GenEval's rules meet.

Two phases, so that the colour model sees one batch: detect, keep and ask which objects' colours matter; then
classify those of all images together, and decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfe_eval.records import Prompt, ScoredObject
from selfe_eval.runs.judge import JudgeOptions
from selfe_eval.score.colors import ColorClassifier, ColorLabel, load_color_classifier
from selfe_eval.score.detectors.protocol import Detections, Detector, RgbImages
from selfe_eval.score.detectors.registry import load_detector
from selfe_eval.score.geneval.crops import masked_crop
from selfe_eval.score.geneval.rules import Limits, evaluate, keep_objects, objects_needing_color
from selfe_eval.score.geneval.sensitivity import thresholds_around
from selfe_eval.suites.vocabulary import CLASSES

Objects = dict[str, list[ScoredObject]]

SCORING_VERSION = 1
"""Raised with every change of what lies between an image's pixels and its verdict: older scores are then stale, and
runs from before and after it are not compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageScore:
    """The verdict on one image, with its evidence."""

    correct: bool | None
    """Whether the image shows what its prompt asks for; None if it could not be scored."""
    reason: str
    """The reference's sentences; empty if correct."""
    objects: Objects
    """Class name -> the objects that counted, best first; those whose colour mattered have one."""
    weaker: Objects
    """The same for objects that miss the threshold by little: what lower thresholds would change."""
    near_ties: int
    """How many colours rounding could have decided otherwise."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """One image after detection."""

    counted: Objects
    """Above the threshold."""
    seen: Objects
    """Above the floor: the same objects, followed by weaker ones."""
    crops: list[NDArray[np.uint8]]
    places: list[tuple[str, int]]
    """(class name, index in seen) of each crop."""


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
        self._floor = Limits(
            confidence=min(thresholds_around("single_object", self._limits)),
            counting=min(thresholds_around("counting", self._limits)),
            max_objects=thresholds.max_objects,
        )

    @property
    def batch_size(self) -> int:
        """Images worth judging together: the detector's."""
        return self._detector.batch_size

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
        found = self._detector.detect(images, floor=min(self._floor.confidence, self._floor.counting))
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
        return [
            self._decide(prompt, image, [next(labels) for _ in image.places])
            for prompt, image in zip(prompts, seen, strict=True)
        ]

    def describe(self) -> dict[str, Any]:
        """What to record beside the scores: the version of the scoring, weights, thresholds, versions, device."""
        return {"scoring": SCORING_VERSION, **self._detector.describe(), **self._colors.describe()}

    def _look(self, prompt: Prompt, detections: Detections, pixels: NDArray[np.uint8]) -> _Seen:
        raw, rows = objects_by_class(detections)
        seen = keep_objects(raw, prompt.task, self._floor)
        places = objects_needing_color(prompt, seen)
        crops = []
        for class_name, index in places:
            chosen = seen[class_name][index]
            row = rows[class_name][raw[class_name].index(chosen)]
            crops.append(masked_crop(pixels, detections.masks[row], chosen.box))
        return _Seen(keep_objects(raw, prompt.task, self._limits), seen, crops, places)

    def _decide(self, prompt: Prompt, image: _Seen, labels: Sequence[ColorLabel]) -> ImageScore:
        for (name, index), label in zip(image.places, labels, strict=True):
            image.seen[name][index] = replace(image.seen[name][index], color=label.color)
        numbers = {name: len(image.counted.get(name, ())) for name in image.seen}
        objects = {name: found[: numbers[name]] for name, found in image.seen.items() if numbers[name]}
        weaker = {
            name: found[numbers[name] :] for name, found in image.seen.items() if found[numbers[name] :]
        }
        verdict = evaluate(prompt, objects, self._limits)
        decisive = set(objects_needing_color(prompt, objects))
        return ImageScore(
            correct=verdict.correct,
            reason=verdict.reason,
            objects=objects,
            weaker=weaker,
            near_ties=sum(
                label.is_near_tie
                for place, label in zip(image.places, labels, strict=True)
                if place in decisive
            ),
        )


def build_scorer(
    detector_name: str = "openmoji", device: str = "cpu", judge: JudgeOptions | None = None
) -> GenEvalScorer:
    """Load a detector and the colour model that goes with it.

    Args:
        detector_name: A key of the detectors' table.
        device: A torch device string.
        judge: Other files than the judge's own, and how colours are computed.

    Raises:
        UsageError: Unknown name, or weights that are missing or corrupt.
    """
    judge = judge or JudgeOptions()
    detector = load_detector(
        detector_name, device, weights=_path(judge.detector_weights), config=_path(judge.detector_config)
    )
    return GenEvalScorer(detector, load_color_classifier(detector_name, judge, device))


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)


def objects_by_class(detections: Detections) -> tuple[Objects, dict[str, list[int]]]:
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
