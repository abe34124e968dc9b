from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from selfe_eval.records import TASKS, ImageKey, Prompt, Requirement, Suite
from selfe_eval.report.comparison import ScoredRun
from selfe_eval.report.outcomes import ImageOutcome
from selfe_eval.report.summary import Summary, summarise
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
    return ScoredRun(summary=summary, prompt_ids=frozenset(ids), outcomes=outcomes)


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
