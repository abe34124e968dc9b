"""What a design can detect, as one document: precision, chances of each verdict, and what a wanted difference needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from selfe_eval.stats.components import Calibrated
from selfe_eval.stats.drawdown import MIN_CLUSTERS, Outcome
from selfe_eval.stats.latent_scores import normal_quantile
from selfe_eval.stats.power import (
    Design,
    Model,
    Need,
    Precision,
    chances_at,
    detectable,
    needed,
    precision,
    verdict_chances,
)

SCHEMA_VERSION = 1
"""Of the JSON document."""

NAMED_CURVES = {
    "steady": (-0.05, -0.0325, -0.015, 0.0025, 0.02),
    "saturating": (-0.05, -0.01, 0.01, 0.018, 0.02),
    "plateau": (-0.05, 0.0, 0.02, 0.02, 0.02),
    "flat": (0.0, 0.0, 0.0, 0.0, 0.0),
    "late drop 2 pp": (-0.05, 0.0, 0.02, 0.02, 0.0),
    "late drop 3 pp": (-0.05, 0.0, 0.02, 0.02, -0.01),
}
"""Shapes that quality may have over five step counts, relative to the baseline."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FromRun:
    """What a real run says about its scores."""

    run: str
    """Its folder."""
    model_name: str
    """Name of the model that was measured."""
    suite: str
    """The suite of its prompts."""
    partial: bool
    """Whether prompts were left out or images are missing."""
    steps: tuple[int, ...]
    """Its step counts."""
    rates: NDArray[np.float64]
    """(T, K) its scores by task, as if they were the truth."""
    calibrated: Calibrated
    """Where the variance lies."""
    num_prompts: int
    """Prompts that this rests on: those with every image at every step count."""
    images_per_prompt: int
    """Images of each of them."""
    observed_se: float
    """Standard error of its score at its last step count, from the scores themselves."""
    modelled_se: float
    """The same from the components: where the two are apart, the model does not fit."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """What is asked."""

    suite: str
    """Name of the suite."""
    sizes: tuple[int, ...]
    """(T,) prompts of each task."""
    images_per_prompt: tuple[int, ...]
    """Designs to look at, ascending."""
    deltas: tuple[float, ...]
    """Drops that "monotone" rules out, as shares."""
    baseline: float
    """The score around which differences are looked for."""
    model: Model
    """What is assumed of the scores."""
    curves: Mapping[str, tuple[float, ...]]
    """Name -> true scores over step counts, as shares."""
    detect: float | None
    """The paired difference that is wanted, as a share."""
    from_run: FromRun | None
    """Where the model comes from; None where it is assumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chances:
    """How often each verdict comes out."""

    curve: str
    """Name of the curve."""
    scores: tuple[float, ...]
    """The truth."""
    images_per_prompt: int
    """Of the design."""
    delta: float
    """The drop that "monotone" rules out."""
    outcomes: Mapping[Outcome, float]
    """Verdict -> its chance."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PowerReport:
    """The answer."""

    question: Question
    """What was asked."""
    precisions: Mapping[int, Precision]
    """Images a prompt -> standard errors."""
    chances: tuple[Chances, ...]
    """By curve, delta and images a prompt, in this order."""
    need: Need | None
    """What the wanted difference needs, beside the first design; None where none is wanted."""

    @property
    def num_prompts(self) -> int:
        """Of the design."""
        return sum(self.question.sizes)

    @property
    def is_too_small(self) -> bool:
        """Whether a task has too few prompts for any verdict."""
        return min(self.question.sizes) < MIN_CLUSTERS


def model_of(run: FromRun) -> Model:
    """The model that a run shows: its tasks are as far apart as at its last step count."""
    return Model(components=run.calibrated.components, difficulty=normal_quantile(run.rates[:, -1]))


def power_report(question: Question) -> PowerReport:
    """Answer a question; takes a second or so."""
    model, baseline = question.model, question.baseline
    designs = [
        Design(sizes=question.sizes, images_per_prompt=images) for images in question.images_per_prompt
    ]
    return PowerReport(
        question=question,
        precisions={design.images_per_prompt: precision(model, design, baseline) for design in designs},
        chances=_own_chances(question, designs) + _curve_chances(question, designs),
        need=None if question.detect is None else needed(model, designs[0], baseline, question.detect),
    )


def _own_chances(question: Question, designs: Sequence[Design]) -> tuple[Chances, ...]:
    """Of the run's own curve, task by task."""
    run = question.from_run
    if run is None:
        return ()
    per_design = {
        design: chances_at(run.rates, question.model.components, design, question.deltas)
        for design in designs
    }
    return _listed("the run's own", tuple(run.rates.mean(axis=0).tolist()), per_design)


def _curve_chances(question: Question, designs: Sequence[Design]) -> tuple[Chances, ...]:
    found: tuple[Chances, ...] = ()
    for name, curve in question.curves.items():
        per_design = {
            design: verdict_chances(question.model, design, curve, question.deltas) for design in designs
        }
        found += _listed(name, curve, per_design)
    return found


def _listed(
    name: str,
    scores: tuple[float, ...],
    per_design: Mapping[Design, Mapping[float, Mapping[Outcome, float]]],
) -> tuple[Chances, ...]:
    deltas = next(iter(per_design.values()))
    return tuple(
        Chances(
            curve=name,
            scores=scores,
            images_per_prompt=design.images_per_prompt,
            delta=delta,
            outcomes=chances[delta],
        )
        for delta in deltas
        for design, chances in per_design.items()
    )


def points(share: float) -> str:
    """A difference of shares in percentage points.

    >>> points(0.0204), points(0.005)
    ('2.0 pp', '0.5 pp')
    """
    return f"{100 * share:.1f} pp"


def answer(report: PowerReport) -> str:
    """The report in one sentence."""
    question, first = report.question, report.question.images_per_prompt[0]
    if report.need is not None and question.detect is not None:
        return _need_sentence(report, report.need, question.detect)
    found = report.precisions[first]
    loss = detectable(found.paired, two_sided=True)
    return (
        f"{report.num_prompts} prompts x {_images(first)} give a score around {100 * question.baseline:.0f} % with a "
        f"standard error of {points(found.single)}, and find a paired difference of {points(loss)} in 80 % of runs; "
        f"{_verdict_clause(report, first)}."
    )


def _verdict_clause(report: PowerReport, images: int) -> str:
    if report.is_too_small:
        return f"no verdict is given, since a task has fewer than {MIN_CLUSTERS} prompts"
    one = next(one for one in report.chances if one.images_per_prompt == images)
    return (
        f"the verdict on the curve {one.curve!r} is monotone (delta {points(one.delta)}) in "
        f"{100 * one.outcomes['monotone']:.0f} % of runs"
    )


def _need_sentence(report: PowerReport, need: Need, difference: float) -> str:
    first = report.question.images_per_prompt[0]
    prompts = f"{need.prompts} prompts x {_images(first)}"
    if need.images_per_prompt is None:
        return (
            f"No number of images of {report.num_prompts} prompts finds a paired difference of {points(difference)} "
            f"in 80 % of runs; it takes more prompts, such as {prompts}."
        )
    return (
        f"To find a paired difference of {points(difference)} in 80 % of runs, {report.num_prompts} prompts need "
        f"{_images(need.images_per_prompt)} each at every step count (or take {prompts})."
    )


def _images(count: int) -> str:
    return f"{count} image{'s' if count != 1 else ''}"


def power_document(report: PowerReport) -> dict[str, Any]:
    """The report as one JSON document; all numbers are shares."""
    question = report.question
    components = question.model.components
    return {
        "schema_version": SCHEMA_VERSION,
        "suite": question.suite,
        "num_prompts": report.num_prompts,
        "baseline": question.baseline,
        "components": {**asdict(components), "residual": components.residual},
        "from_run": None if question.from_run is None else _run_document(question.from_run),
        "designs": [
            {
                "images_per_prompt": images,
                "se": asdict(found),
                "detectable": {
                    name: {
                        "one_sided": detectable(se, two_sided=False),
                        "two_sided": detectable(se, two_sided=True),
                    }
                    for name, se in (("paired", found.paired), ("unpaired", found.unpaired))
                },
            }
            for images, found in report.precisions.items()
        ],
        "verdicts": [
            {
                "curve": one.curve,
                "scores": list(one.scores),
                "images_per_prompt": one.images_per_prompt,
                "delta": one.delta,
                **one.outcomes,
            }
            for one in report.chances
        ],
        "needed": None if report.need is None else {"difference": question.detect, **asdict(report.need)},
        "answer": answer(report),
    }


def _run_document(run: FromRun) -> dict[str, Any]:
    prompt, seed, prompt_step = run.calibrated.errors
    return {
        "run": run.run,
        "model": run.model_name,
        "partial": run.partial,
        "steps": list(run.steps),
        "num_prompts": run.num_prompts,
        "images_per_prompt": run.images_per_prompt,
        "component_errors": {"prompt": prompt, "seed": seed, "prompt_step": prompt_step},
        "clipped": list(run.calibrated.clipped),
        "observed_se": run.observed_se,
        "modelled_se": run.modelled_se,
    }
