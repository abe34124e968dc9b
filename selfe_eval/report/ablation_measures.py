"""FID, coverage and spread of an ablation's variants: quality and variety beside GenEval.

Every training has its own line. A distance of the images of several trainings together would be another number, and a mean
of distances has no interval over prompts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from selfe_eval.report import cells
from selfe_eval.report.ablation_variant import TrainedVariant
from selfe_eval.report.experiment import TextTable
from selfe_eval.report.measures import Measure, MeasureRow
from selfe_eval.report.measures_text import (
    OTHER_PROTOCOL_NOTE,
    cell,
    direction_of,
    measure_notes,
    title_of,
)

SHOWN = ("fid", "coverage", "spread")
"""The metrics that have a table; the document has all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureNumber:
    """A metric beside GenEval of one training, at one step count."""

    seed: int
    """Of the training."""
    measure: Measure
    """The metric."""
    row: MeasureRow
    """The step count and the number."""


def measure_numbers(variant: TrainedVariant) -> Iterator[MeasureNumber]:
    """Everything beside GenEval that was measured of a variant, by seed, metric and step count."""
    for seed, measures in zip(variant.seeds, variant.measures, strict=True):
        for measure in measures:
            for row in measure.rows:
                yield MeasureNumber(seed=seed, measure=measure, row=row)


def measures_tables(variants: Sequence[TrainedVariant]) -> list[TextTable]:
    """A table for each metric that is shown: a line for each training, a column for each step count."""
    return [_table(variants, measure) for measure in _shown(variants)]


def measures_notes(variants: Sequence[TrainedVariant]) -> list[str]:
    """What the numbers of these tables are; nothing where there is none."""
    shown = _shown(variants)
    if not shown:
        return []
    other = any(measure.metric != measure.kind for measure in shown)
    return [
        *([OTHER_PROTOCOL_NOTE] if other else []),
        *measure_notes([(title_of(measure.metric), measure) for measure in shown]),
    ]


def _shown(variants: Sequence[TrainedVariant]) -> list[Measure]:
    """Of each metric that has a table the first one found, in the order of the tables."""
    found: dict[str, Measure] = {}
    for variant in variants:
        for measures in variant.measures:
            found = {**{measure.metric: measure for measure in measures}, **found}
    return [measure for kind in SHOWN for measure in found.values() if measure.kind == kind]


def _table(variants: Sequence[TrainedVariant], shown: Measure) -> TextTable:
    unit = "in per cent" if shown.unit == "share" else ""
    said = ", ".join(filter(None, (title_of(shown.metric), unit, direction_of(shown))))
    several = len(variants[0].seeds) > 1
    return TextTable(
        title=f"{said}, ± half of a 95 % interval{', each training by itself' if several else ''}",
        headings=(
            "variant",
            *(f"{row.steps} step{'s' if row.steps > 1 else ''}" for row in shown.rows),
        ),
        rows=tuple(
            (
                f"{variant.name}, seed {seed}" if several else variant.name,
                *(_at(variant, seed, shown.metric, row.steps) for row in shown.rows),
            )
            for variant in variants
            for seed in variant.seeds
        ),
    )


def _at(variant: TrainedVariant, seed: int, metric: str, steps: int) -> str:
    for number in measure_numbers(variant):
        if (number.seed, number.measure.metric, number.row.steps) == (seed, metric, steps):
            return cell(number.row.overall, number.measure.unit)
    return cells.DASH
