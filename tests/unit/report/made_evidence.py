"""Runs of 240 prompts as evidence, made of a few numbers: what gates and baselines are tested with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from selfe_eval.metrics import METRICS
from selfe_eval.records import TASKS
from selfe_eval.report.evidence import ImageEvidence, MetricEvidence, RunEvidence, SetEvidence

PROMPTS_PER_TASK = 40
IMAGES_PER_PROMPT = 2
NUM_GROUPS = 50

Curve = Mapping[int, float]


def made_run(
    geneval: Curve | None = None,
    clip: Curve | None = None,
    fid: Curve | None = None,
    *,
    seed: int = 0,
    spoilt: Mapping[str, float] | None = None,
    **changes: Any,
) -> RunEvidence:
    """A run whose images have these chances, these mean CLIP-scores and these distances at each step count.

    Equal seeds give equal images; a task in ``spoilt`` loses its correct images with this probability.
    """
    tasks = dict(enumerate(task for task in TASKS for _ in range(PROMPTS_PER_TASK)))
    keys = [(prompt_id, index) for prompt_id in tasks for index in range(IMAGES_PER_PROMPT)]
    rng = np.random.default_rng(seed)
    draws = dict(zip(keys, rng.random(len(keys)), strict=True))
    spoils = dict(zip(keys, rng.random(len(keys)), strict=True))
    noise = rng.standard_normal(NUM_GROUPS)
    found: dict[str, tuple[str, dict[int, Any]]] = {}
    if geneval:
        found["geneval"] = (
            "geneval",
            {
                steps: {
                    key: float(draws[key] < chance and spoils[key] >= (spoilt or {}).get(tasks[key[0]], 0.0))
                    for key in keys
                }
                for steps, chance in geneval.items()
            },
        )
    if clip:
        found["clip-score[openmoji-clip]"] = (
            "clip-score",
            {steps: {key: mean + draws[key] for key in keys} for steps, mean in clip.items()},
        )
    if fid:
        found["fid[openmoji-clip]"] = (
            "fid",
            {steps: (value, value * (1 + 0.001 * noise)) for steps, value in fid.items()},
        )
    metrics = {name: _metric(name, kind, steps, len(tasks)) for name, (kind, steps) in found.items()}
    fields: dict[str, Any] = {
        "model": "selfe-tiny",
        "suite": "openmoji",
        "suite_sha256": "5" * 64,
        "tasks": tasks,
        "images_per_prompt": IMAGES_PER_PROMPT,
        "seed": seed,
        "partial": False,
        "spec_sha256": "e" * 64,
        "metrics": metrics,
    }
    return RunEvidence(**{**fields, **changes})


def _metric(name: str, kind: str, steps: Mapping[int, Any], num_prompts: int) -> MetricEvidence:
    evidence: dict[int, ImageEvidence | SetEvidence] = {}
    for count, found in steps.items():
        if isinstance(found, dict):
            evidence[count] = ImageEvidence(values=found)
        else:
            value, without = found
            n = num_prompts * IMAGES_PER_PROMPT
            evidence[count] = SetEvidence(value=value, without=without, n=n, n_clusters=num_prompts)
    return MetricEvidence(
        metric=name,
        protocol_sha256=f"{kind:a<64}",
        unit=METRICS[kind].unit,
        higher_is_better=METRICS[kind].higher_is_better,
        is_macro=kind == "geneval",
        steps=evidence,
    )
