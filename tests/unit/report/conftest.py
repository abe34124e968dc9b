from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from selfe_eval.metrics import measured_on
from selfe_eval.records import TASKS, ImageKey, Prompt, Requirement, Suite
from selfe_eval.report.measures import MeasureSet
from selfe_eval.report.measuring import (
    ImageNumbers,
    design_of,
    measure_of_images,
    measure_of_sets,
    measure_set,
)
from selfe_eval.report.outcomes import ImageOutcome
from selfe_eval.report.scored_run import ScoredRun
from selfe_eval.report.summary import Summary, summarise
from selfe_eval.runs.distances import Distance, Distances
from selfe_eval.runs.run import RunRecord
from selfe_eval.runs.spec import RunSpec

PROMPTS_PER_TASK = 40
MakeRun = Callable[..., ScoredRun]


@pytest.fixture
def suite() -> Suite:
    """Six tasks of 40 prompts; in two tasks every fourth prompt is held out."""
    prompts = [
        Prompt(prompt_id=i, task=task, text=f"a photo {i}", include=(Requirement(class_name="dog", count=1),))
        for i, task in enumerate(task for task in TASKS for _ in range(PROMPTS_PER_TASK))
    ]
    unseen = frozenset(p.prompt_id for p in prompts if p.task in TASKS[3:5] and p.prompt_id % 4 == 0)
    return Suite(name="openmoji", prompts=prompts, sha256="5" * 64, unseen=unseen)


@pytest.fixture
def make_run(suite: Suite) -> MakeRun:
    """A run with independent outcomes: (curve by step count) -> ScoredRun."""

    def make(curve: Mapping[int, float], **changes: Any) -> ScoredRun:
        return simulated_run(suite, curve, **changes)

    return make


def simulated_run(
    suite: Suite,
    curve: Mapping[int, float],
    *,
    model: str = "selfe-tiny",
    images: int = 4,
    seed: int = 0,
    prompt_ids: tuple[int, ...] | None = None,
    unscored: int = 0,
    missing: int = 0,
    scorer: Mapping[str, Any] | None = None,
) -> ScoredRun:
    """The first ``unscored`` images get null, the last ``missing`` ones no record at all.

    The own thresholds are 0.3 and 0.9; at a threshold lower by 0.1 every image is more likely correct by 0.1.
    """
    rng = np.random.default_rng(seed)
    ids = tuple(prompt.prompt_id for prompt in suite.prompts) if prompt_ids is None else prompt_ids
    keys = [
        ImageKey(steps=steps, prompt_id=prompt_id, image_index=index)
        for steps in curve
        for prompt_id in ids
        for index in range(images)
    ]
    outcomes: dict[ImageKey, ImageOutcome] = {}
    for number, key in enumerate(keys[: len(keys) - missing]):
        outcomes[key] = (
            ImageOutcome(key=key, correct=None, reason="unscored: no file")
            if number < unscored
            else _outcome(key, suite, rng.random(), curve[key.steps])
        )
    summary = summarise(
        make_record(suite, model=model, steps=tuple(curve), images=images, prompt_ids=ids),
        suite,
        outcomes,
        seconds={key: None if key.prompt_id == 0 else 0.01 * key.steps for key in keys},
        scorer=scorer or {"sha256": "7" * 64, "device": "cpu"},
    )
    return ScoredRun(summary=summary, prompt_ids=frozenset(ids), outcomes=outcomes, seed=0)


def _outcome(key: ImageKey, suite: Suite, draw: float, chance: float) -> ImageOutcome:
    """Colours decide in two tasks; there the first image of every eighth prompt has a near tie."""
    task = suite.prompts[key.prompt_id].task
    own = 0.9 if task == "counting" else 0.3
    num_colors = {"colors": 1, "color_attr": 2}.get(task, 0)
    return ImageOutcome(
        key=key,
        correct=bool(draw < chance),
        reason="" if draw < chance else "expected dog>=1, found 0",
        correct_at={
            round(own + offset, 2): bool(draw < chance - offset if offset else draw < chance)
            for offset in (-0.1, 0.0, 0.05)
        },
        num_objects=1,
        num_colors=num_colors,
        near_ties=int(num_colors > 0 and key.prompt_id % 8 == 0 and key.image_index == 0),
    )


def make_record(
    suite: Suite, *, model: str, steps: tuple[int, ...], images: int, prompt_ids: tuple[int, ...]
) -> RunRecord:
    """A run.json of this design; its NFE are twice the steps."""
    spec = RunSpec(
        suite=suite.name,
        suite_sha256=suite.sha256,
        source="checkpoint",
        model=model,
        checkpoint_sha256={},
        steps=steps,
        images_per_prompt=images,
        detector="openmoji",
        batch_size=64,
    )
    return RunRecord(
        spec=spec,
        prompt_ids=prompt_ids,
        partial=len(prompt_ids) < len(suite.prompts),
        nfe={count: 2 * count for count in steps},
    )


@pytest.fixture
def rising(make_run: MakeRun) -> Summary:
    """A clear rise at 2, 8 and 50 steps."""
    return make_run({2: 0.3, 8: 0.6, 50: 0.9}).summary


MakeMeasures = Callable[..., MeasureSet]
EXTRACTOR = {"extractor": "openmoji-clip", "weights_sha256": "a1b2c3d4" * 8, "resize": "none"}
REFERENCE = {"sha256": "0f1e2d3c" * 8, "n": 1106, "size": "64x64"}


@pytest.fixture
def make_measures(suite: Suite) -> MakeMeasures:
    """The metrics of a run: (clip=curve, fid=curve, ...) -> MeasureSet; see `simulated_measures`."""

    def make(**changes: Any) -> MeasureSet:
        return simulated_measures(suite, **changes)

    return make


def simulated_measures(
    suite: Suite,
    *,
    model: str = "selfe-tiny",
    clip: Mapping[int, float] | None = None,
    sets: Mapping[str, Mapping[int, float]] | None = None,
    spread: Mapping[int, float] | None = None,
    images: int = 4,
    seed: int = 0,
    prompt_ids: tuple[int, ...] | None = None,
    extractor: Mapping[str, Any] | None = None,
) -> MeasureSet:
    """Images scatter by a tenth of the curve around it, replicates by a hundredth; 50 groups."""
    rng = np.random.default_rng(seed)
    ids = tuple(prompt.prompt_id for prompt in suite.prompts) if prompt_ids is None else prompt_ids
    curves = [curve for curve in (clip, spread, *(sets or {}).values()) if curve]
    record = make_record(suite, model=model, steps=tuple(curves[0]), images=images, prompt_ids=ids)
    design = design_of(record, suite, {})
    network = dict(extractor or EXTRACTOR)
    measures = []
    for name, curve in (("clip-score", clip), ("spread", spread)):
        if curve:
            numbers = {
                ImageKey(steps=steps, prompt_id=i, image_index=k): value * (1 + 0.1 * rng.standard_normal())
                for steps, value in curve.items()
                for i in ids
                for k in range(images)
            }
            options = {"name": "default", "scale": 100.0, "clamp": "image"} if name == "clip-score" else {}
            protocol = {"metric": name, **options, "extractor": network}
            found = ImageNumbers(numbers=numbers, protocol=protocol, notes=())
            measures.append(measure_of_images(measured_on(name, suite.name), found, design))
    for name, curve in (sets or {}).items():
        measured = measured_on(name, suite.name)
        steps = {
            count: Distance(
                value=value,
                without=tuple(value * (1 + 0.01 * rng.standard_normal(50))),
                n=design.num_images,
                n_clusters=len(ids),
                images_sha256="",
            )
            for count, value in curve.items()
        }
        protocol = {"metric": name, "extractor": network, "reference": REFERENCE}
        distances = Distances(metric=measured.name, protocol=protocol, notes=("Few images.",), steps=steps)
        measures.append(measure_of_sets(measured, distances, design))
    return measure_set(record, suite, measures)


@pytest.fixture
def swept(make_measures: MakeMeasures) -> MeasureSet:
    """Everything that the openmoji world measures beside GenEval, at 2, 8 and 50 steps."""
    return make_measures(
        clip={2: 24.0, 8: 27.0, 50: 28.0},
        spread={2: 0.05, 8: 0.12, 50: 0.11},
        sets={
            "fid": {2: 0.312, 8: 0.104, 50: 0.0912},
            "kid": {2: 0.00231, 8: 0.000412, 50: 0.000398},
            "cmmd": {2: 1.412, 8: 0.512, 50: 0.498},
            "precision": {2: 0.71, 8: 0.74, 50: 0.75},
            "recall": {2: 0.21, 8: 0.62, 50: 0.61},
            "density": {2: 0.9, 8: 1.02, 50: 1.01},
            "coverage": {2: 0.31, 8: 0.72, 50: 0.74},
        },
    )
