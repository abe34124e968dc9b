"""The trained variants at each step count: GenEval, its differences to two of them, and the metrics beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from selfe_eval.metrics import METRICS, Unit
from selfe_eval.report import cells
from selfe_eval.report.experiment import TextTable
from selfe_eval.report.measures_text import title_of
from selfe_eval.report.reference.results import (
    ABLATION,
    AGAINST_SELF_E,
    PAIRS,
    ComparedScore,
    Results,
    measure_name,
    variant_measures,
    variant_scores,
)
from selfe_eval.stats.drawdown import ALPHA
from selfe_eval.stats.estimate import Estimate

MEASURED_IN = {"fid": ABLATION, "coverage": ABLATION, "spread": PAIRS}
"""The metrics beside GenEval -> the document that has them: one image of a prompt has no spread."""

Scores = Mapping[str, tuple[ComparedScore, ...]]
"""Variant -> its scores by ascending step count."""


def variant_tables(results: Results) -> list[TextTable]:
    """GenEval, the differences to flow matching and to Self-E, then each metric that was measured.

    Empty where there was no ablation.
    """
    document = results.documents.get(ABLATION)
    if document is None:
        return []
    scores = variant_scores(document)
    shown = [_table("GenEval: per cent of images correct, ± half of a 95 % interval", scores, score_cell)]
    for stem in (ABLATION, AGAINST_SELF_E):
        compared = results.documents.get(stem)
        if compared is not None and compared["baseline"]:
            baseline = compared["baseline"]
            others = {name: found for name, found in variant_scores(compared).items() if name != baseline}
            title = f"GenEval minus {baseline}, percentage points, paired (* Holm-adjusted p below {ALPHA})"
            shown.append(_table(title, others, difference_cell))
    return [*shown, *_measure_tables(results)]


def variant_notes(results: Results) -> list[str]:
    """What one has to know to read the numbers, as `ablate` says it."""
    document = results.documents.get(ABLATION)
    if document is None:
        return []
    pairs = results.documents.get(PAIRS)
    of_pairs = [] if pairs is None else [note for note in pairs["notes"] if note not in document["notes"]]
    return [*document["notes"], *(f"Spread: {note}" for note in of_pairs)]


def score_cell(score: ComparedScore) -> str:
    """The score and half of its interval."""
    return cells.value_and_half_width(score.overall)


def difference_cell(score: ComparedScore) -> str:
    """The difference, starred where it is shown to be one."""
    if score.against is None:
        return cells.DASH
    return cells.signed_points(score.against) + (" *" if is_shown(score) else "")


def is_shown(score: ComparedScore) -> bool:
    """Whether a difference is shown, after the adjustment for all that the document compares."""
    return score.p_adjusted is not None and score.p_adjusted < ALPHA


def step_headings(steps: Sequence[int]) -> tuple[str, ...]:
    """``1 step``, ``2 steps``."""
    return tuple(f"{count} step{'s' if count > 1 else ''}" for count in steps)


def _table(title: str, scores: Scores, shown: Callable[[ComparedScore], str]) -> TextTable:
    steps = [score.steps for score in next(iter(scores.values()), ())]
    return TextTable(
        title=title,
        headings=("variant", *step_headings(steps)),
        rows=tuple((name, *map(shown, found)) for name, found in scores.items()),
    )


def _measure_tables(results: Results) -> Iterator[TextTable]:
    """A table for each metric that the document which has it holds."""
    for kind, stem in MEASURED_IN.items():
        document = results.documents.get(stem)
        found = {} if document is None else variant_measures(document, kind)
        if document is None or not found:
            continue
        seeds = document["variants"][0]["seeds"]
        yield _measure_table(
            measure_name(document, kind),
            found,
            names=list(variant_scores(document)),
            of_seed=f", of training seed {seeds[0]}" if len(seeds) > 1 else "",
        )


def _measure_table(
    full_name: str, found: Mapping[str, Mapping[int, Estimate]], *, names: Sequence[str], of_seed: str
) -> TextTable:
    metric = METRICS[full_name.partition("[")[0]]
    steps = sorted({count for own in found.values() for count in own})
    better = "" if metric.delta is None else f", {'higher' if metric.higher_is_better else 'lower'} is better"
    return TextTable(
        title=f"{title_of(full_name)}{better}{of_seed}",
        headings=("variant", *step_headings(steps)),
        rows=tuple(
            (
                name,
                *(_measure_cell(found.get(name, {}).get(count), metric.unit) for count in steps),
            )
            for name in names
        ),
    )


def _measure_cell(estimate: Estimate | None, unit: Unit) -> str:
    return cells.DASH if estimate is None else cells.in_unit(estimate, unit)
