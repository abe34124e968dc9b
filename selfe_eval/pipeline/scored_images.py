"""The scored images of a run with their evidence: what its numbers, its files and its pictures are made from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from selfe_eval.errors import UntrustworthyError
from selfe_eval.pipeline.plan import planned_keys
from selfe_eval.records import Prompt, ScoredObject, Suite
from selfe_eval.report.summary import METRIC
from selfe_eval.runs import layout
from selfe_eval.runs.images import ImageRecord, read_images
from selfe_eval.runs.run import Run
from selfe_eval.runs.scores import ScoreRecord, read_scores

Objects = dict[str, list[ScoredObject]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredImage:
    """One planned image that the scorer has looked at."""

    image: ImageRecord
    """Which image, and where it lies."""
    prompt: Prompt
    """What was asked."""
    score: ScoreRecord
    """The verdict, or null with a reason."""
    objects: Objects
    """Class name -> the objects that counted, best first."""
    weaker: Objects
    """The same for objects that miss the threshold by little."""


def scored_images(run: Run, suite: Suite) -> list[ScoredImage]:
    """The planned images that have a score, in the order of the plan: by step count, prompt and index.

    A score that was given for other bytes than the image's record names is left out.

    Raises:
        UntrustworthyError: a journal cannot be believed.
    """
    images = read_images(run.images_file)
    path = layout.scores_path(run.folder, METRIC)
    scores = read_scores(path)
    prompts = {prompt.prompt_id: prompt for prompt in suite.prompts}
    found = []
    for key in planned_keys(run.record):
        if key not in scores or key not in images:
            continue
        image, score = images[key], scores[key]
        if score.image_sha256 not in {image.sha256, None}:
            continue
        try:
            objects, weaker = _objects(score.objects), _objects(score.weaker)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UntrustworthyError(
                f"The objects that {path} lists for {image.path} are garbled: {type(error).__name__} {error}. "
                f"Expected box, score and color of each. Delete that file and score the run again: "
                f"`{run.resume_command}`; the images stay."
            ) from error
        found.append(
            ScoredImage(
                image=image,
                prompt=prompts[key.prompt_id],
                score=score,
                objects=objects,
                weaker=weaker,
            )
        )
    return found


def _objects(by_class: Mapping[str, Any]) -> Objects:
    return {name: [_object(entry) for entry in entries] for name, entries in by_class.items()}


def _object(entry: Mapping[str, Any]) -> ScoredObject:
    x0, y0, x1, y1 = (float(edge) for edge in entry["box"])
    score = float(entry["score"])
    if not all(map(math.isfinite, (x0, y0, x1, y1, score))):
        raise ValueError(f"{entry!r} has a number that is none")
    return ScoredObject(box=(x0, y0, x1, y1), score=score, color=entry["color"])
