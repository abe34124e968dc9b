"""Everything that looks at the images of a run, loaded and checked before the first image is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from selfe_eval.devices import resolve_device
from selfe_eval.errors import UsageError
from selfe_eval.metrics import METRICS, Measured, measured_on, metrics_of
from selfe_eval.pipeline.progress import Progress
from selfe_eval.pipeline.references import Reference, find_reference, refuse_unusable
from selfe_eval.pipeline.score import Scorer
from selfe_eval.records import Suite
from selfe_eval.runs.measures import MeasureOptions
from selfe_eval.score.clip_score import ClipProtocol, protocol_for
from selfe_eval.score.features.protocol import ClipTowers, Extractor
from selfe_eval.score.features.registry import load_extractor, weights_problem

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
    measured = [_measured(bench, name) for name in metrics if name != GENEVAL]
    for one in measured:
        if one.metric.need == "several" and bench.images_per_prompt < 2:
            raise UsageError(f"{one.name} cannot be measured: {_SEVERAL}")
    return _loaded(bench, metrics, measured, {}, progress)


def instruments_at_hand(bench: Bench, progress: Progress) -> Instruments:
    """The instruments of every metric that has what it needs here; of each other one, why it is left out.

    Nothing is downloaded but what GenEval's own judge needs.

    Raises:
        UsageError: no metric has what it needs.
        UntrustworthyError: the reference is a run that is not whole.
    """
    not_measured: dict[str, str] = {}
    measured = []
    reference_problem = _reference_problem(bench, progress)
    for name in metrics_of(bench.suite.name):
        if name == GENEVAL:
            continue
        one = _measured(bench, name)
        problem = _problem(bench, one, reference_problem)
        if problem is None:
            measured.append(one)
        else:
            not_measured[one.name] = problem
    try:
        scorer: Scorer | None = bench.load_scorer()
    except UsageError as error:
        scorer = None
        not_measured = {GENEVAL: str(error), **not_measured}
    metrics = in_order([*([GENEVAL] if scorer else []), *(one.metric.name for one in measured)])
    if not metrics:
        reasons = " ".join(f"{name}: {reason}" for name, reason in not_measured.items())
        raise UsageError(f"Nothing can be measured here. {reasons}")
    return _loaded(bench, metrics, measured, not_measured, progress, scorer=scorer)


def in_order(metrics: Sequence[str]) -> tuple[str, ...]:
    """Each metric once, in the order of the table; those with an extractor of their own behind the plain one.

    >>> in_order(["fid", "geneval", "fid[dinov2]", "fid"])
    ('geneval', 'fid', 'fid[dinov2]')
    """
    places = {name: place for place, name in enumerate(METRICS)}
    return tuple(sorted(set(metrics), key=lambda typed: (places.get(typed.partition("[")[0], -1), typed)))


_SEVERAL = "it is the spread of several images of one prompt. Say --images-per-prompt 2 or more."


def _measured(bench: Bench, typed: str) -> Measured:
    if typed.partition("[")[0] == CLIP_SCORE:
        return protocol_for(bench.options.clip_protocol, bench.suite.name, typed)[0]
    return measured_on(typed, bench.suite.name)


def _weights(bench: Bench, extractor: str) -> Path | None:
    path = bench.options.weights.get(extractor)
    return None if path is None else Path(path)


def _reference_problem(bench: Bench, progress: Progress) -> str | None:
    """Why nothing can be compared with a reference; one that was named must be usable."""
    if bench.options.reference is not None:
        find_reference(bench.options.reference, bench.suite, progress)
        return None
    try:
        find_reference(None, bench.suite, progress)
    except UsageError as error:
        return str(error)
    return None


def _problem(bench: Bench, measured: Measured, reference_problem: str | None) -> str | None:
    """Why a metric cannot be measured here; None where it can."""
    need = measured.metric.need
    if need == "several" and bench.images_per_prompt < 2:
        return _SEVERAL
    if need == "reference" and reference_problem:
        return reference_problem
    assert measured.extractor is not None
    return weights_problem(measured.extractor, _weights(bench, measured.extractor))


def _loaded(
    bench: Bench,
    metrics: tuple[str, ...],
    measured: Sequence[Measured],
    not_measured: Mapping[str, str],
    progress: Progress,
    *,
    scorer: Scorer | None = None,
) -> Instruments:
    reference = None
    if any(one.metric.need == "reference" for one in measured):
        reference = find_reference(bench.options.reference, bench.suite, progress)
        refuse_unusable(reference, measured)
    names = dict.fromkeys(one.extractor for one in measured if one.extractor is not None)
    device = resolve_device(bench.device)
    extractors = {name: load_extractor(name, device, weights=_weights(bench, name)) for name in names}
    for one in measured:
        if one.metric.need == "captions" and not isinstance(extractors[str(one.extractor)], ClipTowers):
            raise UsageError(
                f"{one.name} cannot be measured: {one.extractor} sees images and reads no texts. Name a CLIP model."
            )
    return Instruments(
        metrics=metrics,
        measured=tuple(measured),
        scorer=bench.load_scorer() if GENEVAL in metrics and scorer is None else scorer,
        clip=protocol_for(bench.options.clip_protocol, bench.suite.name)[1],
        extractors=extractors,
        reference=reference,
        not_measured=not_measured,
    )
