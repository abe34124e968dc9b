"""The bundled models at each step count, and what was aimed at: met or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from selfe_eval.report import cells
from selfe_eval.report.experiment import TextTable
from selfe_eval.report.leaderboard import caption
from selfe_eval.report.measures_text import OTHER_PROTOCOL_NOTE, measure_notes, title_of
from selfe_eval.report.published import published_rows
from selfe_eval.report.published_ablations import published_ablations
from selfe_eval.report.reference.results import ReferenceRun, Results
from selfe_eval.report.sentences import verdict_sentence, verdict_word
from selfe_eval.report.summary import Row
from selfe_eval.stats.estimate import Estimate

SELF_E, FLOW, UNGUIDED = "selfe-tiny", "flow-tiny", "selfe-tiny-guidance-1"
"""The bundled models' runs, and one of ``selfe-tiny`` without guidance, at half of the network evaluations."""

KINDS = ("fid", "coverage", "clip-score", "spread")
"""The metrics beside GenEval."""

AIMED_AT_50 = 0.80
AIMED_RATIO = 0.92
AIMED_HALF = 0.5
AIMED_DELTA = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """Something that was to be reached."""

    what: str
    """In words."""
    asked: str
    """The number asked for."""
    here: str
    """The number reached; a dash where it is not known."""
    paper: str
    """The paper's own; a dash where it prints none."""
    is_met: bool | None
    """Whether the number reached is the one asked for or better; None where it is not known."""


def headline_table(runs: Mapping[str, ReferenceRun]) -> TextTable:
    """Every metric of the report by run and step count.

    Args:
        runs: Name -> run; at least one.
    """
    titles = {kind: found for kind in KINDS if (found := _title(kind, list(runs.values())))}
    return TextTable(
        title="The bundled models, by sampling steps",
        headings=("run", "steps", "NFE", "GenEval", *titles.values(), "s/image", "n"),
        rows=tuple(
            _row(name, run, row, list(titles)) for name, run in runs.items() for row in run.summary.rows
        ),
    )


def headline_notes(runs: Mapping[str, ReferenceRun]) -> list[str]:
    """What the numbers of `headline_table` are, and the verdict of each run."""
    found = [
        (title_of(measure.metric), measure)
        for run in runs.values()
        for kind in KINDS
        if (measure := run.measure(kind)) is not None
    ]
    verdicts = "\n".join(
        f"- {name}: **{verdict_word(run.summary)}**: {verdict_sentence(run.summary)}"
        for name, run in runs.items()
    )
    notes = [caption(next(iter(runs.values())).summary)]
    if found:
        notes += [OTHER_PROTOCOL_NOTE, *measure_notes(found)]
    return [verdicts, " ".join(notes)]


def aims(results: Results) -> tuple[Aim, ...]:
    """What was asked of the two models before they were trained, and whether the numbers measured reach it."""
    at_best, at_few, of_flow = (_at(results, *place) for place in ((SELF_E, 50), (SELF_E, 2), (FLOW, 2)))
    best, few, flow = (None if found is None else found.value for found in (at_best, at_few, of_flow))
    ratio, half = kept_at(results, SELF_E, 2, 50), _ratio(flow, few)
    model = results.runs.get(SELF_E)
    verdict = model.summary.verdict if model else None
    is_monotone = verdict and verdict.outcome == "monotone" and verdict.delta <= AIMED_DELTA
    return (
        Aim(
            what=f"{SELF_E} at 50 steps",
            asked=f"≥ {cells.percent(AIMED_AT_50)}",
            here=cells.DASH if at_best is None else cells.value_and_half_width(at_best),
            paper=cells.percent(_printed("Self-E", 50)),
            is_met=None if best is None else best >= AIMED_AT_50,
        ),
        Aim(
            what=f"{SELF_E} at 2 steps / at 50 steps",
            asked=f"≥ {AIMED_RATIO}",
            here=two_decimals(ratio),
            paper=two_decimals(_ratio(_printed("Self-E", 2), _printed("Self-E", 50))),
            is_met=None if ratio is None else ratio >= AIMED_RATIO,
        ),
        Aim(
            what=f"verdict of {SELF_E} at delta {AIMED_DELTA}",
            asked="MONOTONE",
            here=cells.DASH if verdict is None else verdict.outcome.upper(),
            paper=cells.DASH,
            is_met=None if verdict is None else bool(is_monotone),
        ),
        Aim(
            what=f"{FLOW} / {SELF_E}, both at 2 steps",
            asked=f"≤ {AIMED_HALF}",
            here=two_decimals(half),
            paper=two_decimals(_ratio(_ablated("Flow Matching 0.5B", 2), _ablated("Self-E 0.5B", 2))),
            is_met=None if half is None else half <= AIMED_HALF,
        ),
    )


def kept_at(results: Results, name: str, few: int, many: int) -> float | None:
    """How much of the score at many steps a run has at few; None where one of them was not measured."""
    part, whole = (_at(results, name, steps) for steps in (few, many))
    return None if part is None or whole is None else _ratio(part.value, whole.value)


def aims_table(found: Sequence[Aim]) -> TextTable:
    """Aims as a table."""
    words = {True: "met", False: "**not met**", None: "not measured"}
    return TextTable(
        title="What was aimed at (GenEval, overall; the paper's numbers are of other models, prompts and judges)",
        headings=("aim", "asked", "here", "paper †", "outcome"),
        rows=tuple((aim.what, aim.asked, aim.here, aim.paper, words[aim.is_met]) for aim in found),
    )


def _title(kind: str, runs: Sequence[ReferenceRun]) -> str | None:
    return next((title_of(found.metric) for run in runs if (found := run.measure(kind))), None)


def _row(name: str, run: ReferenceRun, row: Row, kinds: Sequence[str]) -> tuple[str, ...]:
    return (
        name,
        str(row.steps),
        cells.DASH if row.nfe is None else str(row.nfe),
        cells.value_and_half_width(row.overall),
        *(measure_cell(run, kind, row.steps) for kind in kinds),
        cells.seconds(row.seconds_per_image),
        cells.images(row.overall),
    )


def measure_cell(run: ReferenceRun, kind: str, steps: int) -> str:
    """A metric of a run at a step count, as tables show it; a dash where it was not measured."""
    measure, estimate = run.measure(kind), run.measured(kind, steps)
    return cells.DASH if measure is None or estimate is None else cells.in_unit(estimate, measure.unit)


def _at(results: Results, name: str, steps: int) -> Estimate | None:
    run = results.runs.get(name)
    return run.at(steps) if run else None


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole


def two_decimals(value: float | None) -> str:
    """A ratio, for a cell; a dash where there is none.

    >>> two_decimals(0.7149), two_decimals(None)
    ('0.71', '-')
    """
    return cells.DASH if value is None else f"{value:.2f}"


def _printed(model: str, steps: int) -> float | None:
    rows = [row for row in published_rows() if (row.model, row.steps) == (model, steps)]
    return rows[0].overall if rows else None


def _ablated(model: str, steps: int) -> float | None:
    """A row of the paper's ablation, of its longest training."""
    rows = [row for row in published_ablations() if row.model == model]
    return max(rows, key=lambda row: row.iterations).overall.get(steps) if rows else None
