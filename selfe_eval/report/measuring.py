"""From the numbers of images, and of sets of images, to estimates and verdicts: pure functions, no files.

A number that each image has is averaged over images, clustered by prompt. A number that only a set of images has comes
with its replicates without each group of prompts, and they give its error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfe_eval.metrics import Measured
from selfe_eval.records import ImageKey, Prompt, Suite
from selfe_eval.report.measures import Measure, MeasureRow, MeasureSet
from selfe_eval.report.outcomes import outcome_panel
from selfe_eval.runs.distances import Distance, Distances
from selfe_eval.runs.run import RunRecord
from selfe_eval.stats.drawdown import MonotonicityVerdict, drawdown_verdict
from selfe_eval.stats.estimate import Estimate, macro_estimate
from selfe_eval.stats.jackknife import JACKKNIFE_METHOD, jackknife_estimate, jackknife_verdict
from selfe_eval.stats.panel import Panel

MEAN_METHOD = "mean over images, clustered by prompt; normal 95 % interval"
"""How an estimate was made of the numbers of images."""

Range = tuple[float, float]

_ANY: Range = (-math.inf, math.inf)
_SHARE: Range = (0.0, 1.0)
_POSITIVE: Range = (0.0, math.inf)

_WITHIN = {"precision": _SHARE, "recall": _SHARE, "coverage": _SHARE, "spread": (0.0, 2.0)}
"""What is possible, where that does not follow from the protocol."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What was asked of a run: the same for all its metrics."""

    prompts: tuple[Prompt, ...]
    """The planned prompts."""
    images_per_prompt: int
    """Planned images of each at each step count."""
    steps: tuple[int, ...]
    """Step counts, ascending."""
    nfe: Mapping[int, int]
    """Step count -> network evaluations an image, where they are known."""
    seconds: Mapping[int, float]
    """Step count -> median wall time of an image, where it is known."""

    @property
    def num_images(self) -> int:
        """Planned images of one step count."""
        return len(self.prompts) * self.images_per_prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageNumbers:
    """One metric of a run's images."""

    numbers: Mapping[ImageKey, float]
    """Of the images that have one."""
    protocol: Mapping[str, Any]
    """Everything that decides them but the images."""
    notes: tuple[str, ...]
    """What a reader must know."""


def design_of(record: RunRecord, suite: Suite, seconds: Mapping[ImageKey, float | None]) -> Design:
    """The design of a run.

    Args:
        record: What was asked.
        suite: Its prompts.
        seconds: Wall time of each image, None where it was not measured.
    """
    planned = frozenset(record.prompt_ids)
    by_steps: dict[int, list[float]] = {}
    for key, value in seconds.items():
        if value is not None:
            by_steps.setdefault(key.steps, []).append(value)
    return Design(
        prompts=tuple(prompt for prompt in suite.prompts if prompt.prompt_id in planned),
        images_per_prompt=record.spec.images_per_prompt,
        steps=record.spec.steps,
        nfe=record.nfe,
        seconds={steps: median(values) for steps, values in by_steps.items()},
    )


def measure_of_images(measured: Measured, images: ImageNumbers, design: Design) -> Measure:
    """A metric that gives each image a number: its mean over images, of all and of each task.

    A protocol that clamps the mean raises the estimate to zero, not the images' numbers. The verdict's delta is in
    points of a scale that ends at 100 and follows the protocol's own scale.

    Args:
        measured: The metric.
        images: Its numbers.
        design: The run's.
    """
    metric, scale = measured.metric, float(images.protocol.get("scale", 1.0))
    columns = [
        {(key.prompt_id, key.image_index): number for key, number in images.numbers.items() if key.steps == n}
        for n in design.steps
    ]
    tasks = outcome_panel(columns, design.prompts, design.images_per_prompt)
    whole = replace(tasks, tasks=("",) * len(design.prompts))
    within = _WITHIN.get(metric.name, (0.0 if images.protocol.get("clamp") == "image" else -scale, scale))
    is_clamped = images.protocol.get("clamp") == "mean"

    def estimate(panel: Panel) -> Estimate:
        made = macro_estimate(panel, within=within)
        return _clamped(made) if is_clamped else made

    rows = tuple(
        _row(
            design,
            steps,
            estimate(whole.column(index)),
            {name: estimate(tasks.task(name).column(index)) for name in tasks.strata}
            if metric.need == "captions"
            else {},
        )
        for index, steps in enumerate(design.steps)
    )
    verdict = None
    if metric.delta is not None:
        verdict = drawdown_verdict(
            whole,
            design.steps,
            delta=metric.delta * scale / 100,
            higher_is_better=metric.higher_is_better,
            full_mark=scale,
        )
    return _measure(measured, images.protocol, MEAN_METHOD, rows, verdict, images.notes)


def measure_of_sets(measured: Measured, distances: Distances, design: Design) -> Measure:
    """A metric that gives a set of images one number, with the error that its replicates say.

    Args:
        measured: The metric.
        distances: Its numbers, of every step count of the design.
        design: The run's.

    Raises:
        KeyError: a step count has no number.
        ValueError: step counts differ in how many groups were left out.
    """
    metric = measured.metric
    found = [distances.steps[steps] for steps in design.steps]
    unbiased = distances.protocol.get("estimator") == "unbiased"  # which may be below zero
    within = _ANY if unbiased else _WITHIN.get(metric.name, _POSITIVE)
    rows = tuple(
        _row(design, steps, _set_estimate(one, design.num_images, within), {})
        for steps, one in zip(design.steps, found, strict=True)
    )
    verdict = None
    if metric.delta is not None:
        values = np.array([one.value for one in found])
        first = max(float(values[0]), 0.0) if metric.unit == "distance" else 1.0
        verdict = jackknife_verdict(
            values,
            _replicates(found),
            design.steps,
            delta=metric.delta * first,
            higher_is_better=metric.higher_is_better,
        )
    return _measure(measured, distances.protocol, JACKKNIFE_METHOD, rows, verdict, distances.notes)


def _replicates(found: Sequence[Distance]) -> NDArray[np.float64]:
    """(G, K) the numbers without each group; none where some step count has too few images to leave one out."""
    if not all(one.without for one in found):
        return np.zeros((0, len(found)))
    return np.stack([np.array(one.without) for one in found], axis=1)


def measure_set(record: RunRecord, suite: Suite, measures: Sequence[Measure]) -> MeasureSet:
    """All metrics of a run; a planned image without a number makes it partial."""
    num_prompts = len(record.prompt_ids)
    unscored = any(row.overall.n_unscored for measure in measures for row in measure.rows)
    return MeasureSet(
        model=record.spec.model,
        suite=suite.name,
        suite_sha256=suite.sha256,
        partial=record.partial or num_prompts < len(suite.prompts) or unscored,
        num_prompts=num_prompts,
        images_per_prompt=record.spec.images_per_prompt,
        spec_sha256=record.spec.sha256,
        measures=tuple(measures),
    )


def _measure(
    measured: Measured,
    protocol: Mapping[str, Any],
    method: str,
    rows: tuple[MeasureRow, ...],
    verdict: MonotonicityVerdict | None,
    notes: tuple[str, ...],
) -> Measure:
    return Measure(
        metric=_name(measured, protocol),
        protocol=protocol,
        unit=measured.metric.unit,
        higher_is_better=measured.metric.higher_is_better,
        method=method,
        rows=rows,
        verdict=verdict,
        notes=notes,
    )


def _name(measured: Measured, protocol: Mapping[str, Any]) -> str:
    """The metric's name, with what its extractor says is not official: another name, so no table is shared."""
    variant = protocol.get("extractor", {}).get("variant")
    if variant is None:
        return measured.name
    return (
        f"{measured.name[:-1]}+{variant}]" if measured.name.endswith("]") else f"{measured.name}[{variant}]"
    )


def _row(design: Design, steps: int, overall: Estimate, tasks: Mapping[str, Estimate]) -> MeasureRow:
    return MeasureRow(
        steps=steps,
        nfe=design.nfe.get(steps),
        overall=overall,
        tasks=tasks,
        seconds_per_image=design.seconds.get(steps),
    )


def _set_estimate(one: Distance, planned: int, within: Range) -> Estimate:
    return jackknife_estimate(
        one.value,
        np.array(one.without),
        n=one.n,
        n_unscored=planned - one.n,
        n_clusters=one.n_clusters,
        within=within,
    )


def _clamped(made: Estimate) -> Estimate:
    """Raised to zero, value and interval."""
    if made.value is None or made.ci is None:
        return made
    return replace(made, value=max(made.value, 0.0), ci=(max(made.ci[0], 0.0), max(made.ci[1], 0.0)))
