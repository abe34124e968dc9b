"""Everything that looks at the images of a run, loaded and checked before the first image is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from selfe_eval.devices import resolve_device
from selfe_eval.errors import UsageError
from selfe_eval.metrics import METRICS, Measured, measured_on, metrics_of
from selfe_eval.pipeline.comparing import FRECHET, fewest
from selfe_eval.pipeline.progress import Progress
from selfe_eval.pipeline.reference_statistics import ReferenceStatistics
from selfe_eval.pipeline.references import (
    Reference,
    find_reference,
    is_enough,
    refuse_other_width,
    refuse_unusable,
)
from selfe_eval.pipeline.score import Scorer
from selfe_eval.records import Suite
from selfe_eval.runs.measures import MeasureOptions
from selfe_eval.score.clip_score import ClipProtocol, protocol_for
from selfe_eval.score.features.protocol import ClipTowers, Extractor
from selfe_eval.score.features.registry import WEIGHTS_OF, load_extractor, weights_problem

GENEVAL, CLIP_SCORE = "geneval", "clip-score"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruments:
    """What the metrics of a run need."""

    metrics: tuple[str, ...]
    """As typed, in the order of the table: what is measured."""
    measured: tuple[Measured, ...]
    """The same with their extractors, GenEval left out."""
    scorer: Scorer | None = None
    """GenEval's judge, where it is measured."""
    clip: ClipProtocol | None = None
    """How CLIP-score is computed, where it is."""
    extractors: Mapping[str, Extractor] = field(default_factory=dict)
    """By name; each serves all metrics that need it."""
    weights: Mapping[str, Path | None] = field(default_factory=dict)
    """Extractor -> the file or folder that was named for it; None where its weights were looked for."""
    reference: Reference | None = None
    """What the images are compared with, where anything is."""
    not_measured: Mapping[str, str] = field(default_factory=dict)
    """Metric -> why it is left out; empty where all were asked for by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What instruments are chosen by."""

    suite: Suite
    """The run's suite."""
    options: MeasureOptions
    """The metrics, and their files."""
    num_prompts: int
    """Planned prompts."""
    images_per_prompt: int
    """Planned images of each prompt."""
    device: str
    """Where to compute, as typed."""
    load_scorer: Callable[[], Scorer]
    """Loads GenEval's judge."""


def named_instruments(bench: Bench, progress: Progress) -> Instruments:
    """The instruments of metrics that were asked for by name: one that cannot be had is an error.

    Raises:
        UsageError: an unknown metric, protocol or reference, missing weights, or one image a prompt where several are
            needed.
        UntrustworthyError: the reference is a run that is not whole.
    """
    metrics = in_order(bench.options.metrics)
    measured = tuple(dict.fromkeys(_measured(bench, name) for name in metrics if name != GENEVAL))
    for one in measured:
        problem = _too_few(bench, one)
        if problem:
            raise UsageError(f"{one.name} cannot be measured: {problem}")
    reference = None
    if any(one.metric.need == "reference" for one in measured):
        reference = find_reference(bench.options.reference, bench.suite, progress)
        refuse_unusable(reference, measured)
    scorer = bench.load_scorer() if GENEVAL in metrics else None
    return _loaded(bench, Instruments(metrics=metrics, measured=measured, scorer=scorer, reference=reference))


def instruments_at_hand(bench: Bench, progress: Progress) -> Instruments:
    """The instruments of every metric that has what it needs here; of each other one, why it is left out.

    Nothing is downloaded but what GenEval's own judge needs.

    Raises:
        UsageError: no metric has what it needs.
        UntrustworthyError: the reference is a run that is not whole.
    """
    reference, no_reference = _reference_at_hand(bench, progress)
    measured = [_measured(bench, name) for name in metrics_of(bench.suite.name) if name != GENEVAL]
    problems = {one.name: _problem(bench, one, reference, no_reference) for one in measured}
    not_measured = {name: problem for name, problem in problems.items() if problem}
    scorer = None
    try:
        scorer = bench.load_scorer()
    except UsageError as error:
        not_measured = {GENEVAL: str(error), **not_measured}
    at_hand = [one for one in measured if one.name not in not_measured]
    metrics = in_order([*([GENEVAL] if scorer else []), *(one.metric.name for one in at_hand)])
    if not metrics:
        reasons = " ".join(f"{name}: {reason}" for name, reason in not_measured.items())
        raise UsageError(f"Nothing can be measured here. {reasons}")
    is_compared = any(one.metric.need == "reference" for one in at_hand)
    return _loaded(
        bench,
        Instruments(
            metrics=metrics,
            measured=tuple(at_hand),
            scorer=scorer,
            reference=reference if is_compared else None,
            not_measured=not_measured,
        ),
    )


def in_order(metrics: Sequence[str]) -> tuple[str, ...]:
    """Each metric once, in the order of the table; those with an extractor of their own behind the plain one.

    >>> in_order(["fid", "geneval", "fid[dinov2]", "fid"])
    ('geneval', 'fid', 'fid[dinov2]')
    """
    places = {name: place for place, name in enumerate(METRICS)}
    return tuple(sorted(set(metrics), key=lambda typed: (places.get(typed.partition("[")[0], -1), typed)))


def _measured(bench: Bench, typed: str) -> Measured:
    if typed.partition("[")[0] == CLIP_SCORE:
        return protocol_for(bench.options.clip_protocol, bench.suite.name, typed)[0]
    return measured_on(typed, bench.suite.name)


def _too_few(bench: Bench, measured: Measured) -> str | None:
    """Why as many images as are planned cannot give the metric; None where they can."""
    if measured.metric.need == "several" and bench.images_per_prompt < 2:
        return "it is the spread of several images of one prompt. Say --images-per-prompt 2 or more."
    if measured.metric.need == "reference":
        least, planned = fewest(measured.metric.name)[0], bench.num_prompts * bench.images_per_prompt
        if planned < least:
            return f"it needs {least} images at each step count, and {planned} are planned. Take more prompts or images of each."
    return None


def _weights(bench: Bench, extractor: str) -> Path | None:
    given = bench.options.weights
    path = given.get(extractor, given.get(WEIGHTS_OF.get(extractor, "")))
    return None if path is None else Path(path)


def _reference_at_hand(bench: Bench, progress: Progress) -> tuple[Reference | None, str]:
    """The reference, or why there is none; one that was named must be there."""
    try:
        return find_reference(bench.options.reference, bench.suite, progress), ""
    except UsageError as error:
        if bench.options.reference is not None:
            raise
        return None, str(error)


def _problem(bench: Bench, measured: Measured, reference: Reference | None, no_reference: str) -> str | None:
    """Why a metric cannot be measured here; None where it can."""
    problem = _too_few(bench, measured)
    if problem:
        return problem
    if measured.metric.need == "reference":
        if reference is None:
            return no_reference
        if not is_enough(reference, measured):
            return f"{reference.title} holds mean and covariance alone, and this metric needs images."
        if isinstance(reference, ReferenceStatistics) and measured.metric.name != FRECHET[0]:
            return f"{reference.title} serve one extractor, taken to be that of {FRECHET[0]}; else name it with --metrics."
    assert measured.extractor is not None
    return weights_problem(measured.extractor, _weights(bench, measured.extractor))


def _loaded(bench: Bench, chosen: Instruments) -> Instruments:
    """What has been chosen, with the extractors that it needs."""
    names = dict.fromkeys(str(one.extractor) for one in chosen.measured)
    device = resolve_device(bench.device)
    weights = {name: _weights(bench, name) for name in names}
    extractors = {name: load_extractor(name, device, weights=weights[name]) for name in names}
    for one in chosen.measured:
        if one.metric.need == "captions" and not isinstance(extractors[str(one.extractor)], ClipTowers):
            raise UsageError(
                f"{one.name} cannot be measured: {one.extractor} sees images and reads no texts. Name a CLIP model."
            )
        if one.metric.need == "reference" and chosen.reference is not None:
            refuse_other_width(chosen.reference, extractors[str(one.extractor)])
    clip = protocol_for(bench.options.clip_protocol, bench.suite.name)[1]
    return replace(chosen, extractors=extractors, weights=weights, clip=clip)
