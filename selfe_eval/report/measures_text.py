"""The metrics of a run as text: columns, verdicts and notes, the same in the terminal and in markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selfe_eval.metrics import METRICS, Unit
from selfe_eval.report import cells
from selfe_eval.report.leaderboard import caption, score_heading
from selfe_eval.report.measures import Measure, MeasureSet
from selfe_eval.report.sentences import Claim, measure_claim, summary_claim
from selfe_eval.report.summary import Summary
from selfe_eval.stats.estimate import Estimate

DIVERSITY = ("precision", "recall", "density", "coverage", "spread")
"""Metrics that tell quality from variety."""

_UNITS: Mapping[Unit, str] = {
    "share": "in per cent",
    "points": "in points",
    "distance": "a distance",
}

_NOT_OPTIONS = frozenset({"metric", "version", "extractor", "reference", "prompts", "images_per_prompt"})
"""Keys of a protocol that are said otherwise, or decide nothing that a reader could choose."""

_OPTION_NAMES = {"name": "protocol ", "method": "", "prefix": "each prompt after "}
"""What stands before the value of an option, where it is not the option's key."""

_OTHER_PROTOCOL = "°"
"""Marks the heading of a metric that is not made as the published numbers of that name are."""

OTHER_PROTOCOL_NOTE = (
    f"{_OTHER_PROTOCOL} made with another extractor or protocol than published numbers: compare with none of that "
    "name."
)
"""What the mark means."""

PLUS_MINUS_NOTE = (
    "± is half of a 95 % interval over draws of prompts; shares are in per cent. Nothing is ranked: the verdicts say "
    "what is shown."
)
"""How to read the cells of a sweep."""

DIVERSITY_NOTE = (
    "Variety beside quality: few-step models lose modes (recall, coverage, spread) before they lose quality."
)
"""Why these columns stand together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A heading and a cell for each row."""

    heading: str
    """Short."""
    cells: tuple[str, ...]
    """One for each row."""

    @property
    def width(self) -> int:
        """Characters of its longest text."""
        return max(len(self.heading), *map(len, self.cells))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """All metrics of one run over its step counts, as text."""

    title: str
    """Model, suite and size."""
    is_partial: bool
    """Whether it has to be stamped."""
    lead: tuple[Column, ...]
    """Steps and network evaluations: what every table begins with."""
    quality: tuple[Column, ...]
    """How good the images are."""
    diversity: tuple[Column, ...]
    """How varied they are, beside how good."""
    claims: tuple[tuple[str, Claim], ...]
    """Title of a metric -> its verdict."""
    notes: tuple[str, ...]
    """What the numbers are and what a reader must know, a sentence or two each."""


def sweep_text(
    summary: Summary | None, measures: MeasureSet | None, not_measured: Mapping[str, str]
) -> Sweep:
    """A run's metrics as text.

    Args:
        summary: GenEval's numbers; None where it was not measured.
        measures: Those of the other metrics; None where there are none. One of both is there.
        not_measured: Metric -> why it was left out.
    """
    run = summary or measures
    assert run is not None
    found = measures.measures if measures else ()
    columns = [
        (measure.kind, _column(measure, title)) for measure, title in zip(found, titles(found), strict=True)
    ]
    geneval = [_geneval_column(summary)] if summary else []
    lines: Sequence[tuple[int, int | None]] = (
        [(row.steps, row.nfe) for row in summary.rows]
        if summary
        else [(row.steps, row.nfe) for row in found[0].rows]
    )
    return Sweep(
        title=f"{run.model} on {run.suite}: {run.num_prompts} prompts, {run.images_per_prompt} images of each",
        is_partial=run.partial,
        lead=(
            Column(heading="steps", cells=tuple(str(steps) for steps, _ in lines)),
            Column(heading="NFE", cells=tuple(cells.DASH if nfe is None else str(nfe) for _, nfe in lines)),
        ),
        quality=(*geneval, *(column for kind, column in columns if kind not in DIVERSITY)),
        diversity=tuple(column for kind, column in columns if kind in DIVERSITY),
        claims=_claims(summary, found),
        notes=_notes(summary, found, not_measured),
    )


def titles(measures: Sequence[Measure]) -> list[str]:
    """Of each metric its title, marked where it is not made as published numbers are; the full name of two alike."""
    kinds = [measure.kind for measure in measures]
    return [
        measure.metric if kinds.count(measure.kind) > 1 else title_of(measure.metric) for measure in measures
    ]


def title_of(metric: str) -> str:
    """The title of a full name, marked where it is not made as published numbers are.

    >>> title_of("fid"), title_of("fid[openmoji-clip]")
    ('FID', 'FID°')
    """
    kind = metric.partition("[")[0]
    return METRICS[kind].title + ("" if metric == kind else _OTHER_PROTOCOL)


def cell(estimate: Estimate, unit: Unit) -> str:
    """A value with half of its interval, starred where planned images have no number."""
    return f"{cells.in_unit(estimate, unit)}{'*' if estimate.n_unscored else ''}"


def measure_notes(named: Sequence[tuple[str, Measure]]) -> list[str]:
    """How each metric is computed in one line, then what some of them share, each with the names it is said of.

    Args:
        named: Heading and metric; several runs of one metric under the same heading are said once.
    """
    shared: dict[str, dict[str, None]] = {}
    for name, measure in named:
        for note in (*_features_and_reference(measure), *_missing(measure), *measure.notes):
            shared.setdefault(note, {})[name] = None
    names = dict.fromkeys(name for name, _ in named)
    own = dict.fromkeys(f"{_full(name, measure)}: {', '.join(_method(measure))}." for name, measure in named)
    return [*own, *(f"{_listed(list(found), len(names))}: {note}" for note, found in shared.items())]


def direction_of(measure: Measure) -> str:
    """Which way is better, in words; empty where none is."""
    if measure.verdict is None:
        return ""
    return "higher is better" if measure.higher_is_better else "lower is better"


def plain(number: float) -> str:
    """A number without an exponent and without zeros at its end.

    >>> plain(100.0), plain(0.5)
    ('100', '0.5')
    """
    return f"{number:.6f}".rstrip("0").rstrip(".")


def _full(name: str, measure: Measure) -> str:
    """The heading, and the full name where the heading is another."""
    return name if name == measure.metric else f"{name} ({measure.metric})"


def _listed(found: Sequence[str], total: int) -> str:
    """What a note is said of; all metrics need no list."""
    return "All of these" if len(found) == total > 1 else ", ".join(found)


def _method(measure: Measure) -> list[str]:
    """Unit, direction and the options of a protocol, without the networks and files it names."""
    better = (
        ["higher is better" if measure.higher_is_better else "lower is better"] if measure.verdict else []
    )
    options = [
        _option(key, value)
        for key, value in measure.protocol.items()
        if key not in _NOT_OPTIONS and isinstance(value, str | int | float) and value != ""
    ]
    return [_UNITS[measure.unit], *better, *options]


def _option(key: str, value: str | float) -> str:
    name = _OPTION_NAMES.get(key, f"{key.replace('_', ' ')} ")
    return f"{name}{value if isinstance(value, str) else plain(value)}"


def _features_and_reference(measure: Measure) -> list[str]:
    """Network with the hash of its weights, numbers of images, and the hash of the reference."""
    extractor, reference = measure.protocol.get("extractor"), measure.protocol.get("reference")
    lines = []
    if isinstance(extractor, Mapping):
        lines.append(f"features of {_network(extractor)}, n = {_sizes(measure)}.")
    if isinstance(reference, Mapping):
        images = "" if reference.get("n") is None else f", {reference['n']} images"
        lines.append(f"against the reference {str(reference.get('sha256', ''))[:8]}{images}.")
    return lines


def _missing(measure: Measure) -> list[str]:
    unscored = sum(row.overall.n_unscored for row in measure.rows)
    return [f"* {unscored} planned images have no number; they are left out."] if unscored else []


def _network(extractor: Mapping[str, Any]) -> str:
    name, sha256 = extractor.get("extractor", "unknown"), extractor.get("weights_sha256")
    return f"{name} (weights {sha256[:8]})" if isinstance(sha256, str) else str(name)


def _sizes(measure: Measure) -> str:
    sizes = sorted({row.overall.n for row in measure.rows})
    clusters = sorted({row.overall.n_clusters for row in measure.rows})
    return f"{_span(sizes)} images of {_span(clusters)} prompts"


def _span(numbers: Sequence[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def _column(measure: Measure, title: str) -> Column:
    return Column(heading=title, cells=tuple(cell(row.overall, measure.unit) for row in measure.rows))


def _geneval_column(summary: Summary) -> Column:
    return Column(
        heading=score_heading(summary), cells=tuple(cell(row.overall, "share") for row in summary.rows)
    )


def _claims(summary: Summary | None, measures: Sequence[Measure]) -> tuple[tuple[str, Claim], ...]:
    own = [(score_heading(summary), summary_claim(summary))] if summary else []
    others = [
        (title, claim)
        for measure, title in zip(measures, titles(measures), strict=True)
        if (claim := measure_claim(measure))
    ]
    return (*own, *others)


def _notes(
    summary: Summary | None, measures: Sequence[Measure], not_measured: Mapping[str, str]
) -> tuple[str, ...]:
    notes = [PLUS_MINUS_NOTE]
    if any(measure.metric != measure.kind for measure in measures):
        notes.append(OTHER_PROTOCOL_NOTE)
    if any(measure.kind in DIVERSITY for measure in measures):
        notes.append(DIVERSITY_NOTE)
    if summary:
        notes.append(caption(summary))
    notes += measure_notes(list(zip(titles(measures), measures, strict=True)))
    notes += [f"{metric} is not measured: {reason}" for metric, reason in not_measured.items()]
    return tuple(notes)
