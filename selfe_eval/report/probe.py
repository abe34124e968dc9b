"""How far checkpoints agree with a teacher about their own samples: a table for each measure, checkpoints by s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from selfe_eval.report.cells import DASH
from selfe_eval.report.experiment import ExperimentReport, TextTable
from selfe_eval.stats.estimate import Z_TWO_SIDED
from selfe_eval.stats.mean import Mean

SCHEMA_VERSION = 1
"""Of the document of ``probe --json``."""

FEW_SCENES = 30
"""Below so many a normal interval is rough."""

TITLES = {
    "cosine": "Cosine of the two directions (1: the same, 0: nothing in common, -1: opposite)",
    "norm_ratio": "Length of the checkpoint's direction / the teacher's",
    "energy_share": "Share of the energy of the checkpoint's direction that lies along the teacher's",
}
"""Of the measures of selfe.probe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbedCheckpoint:
    """What was measured of one checkpoint."""

    label: str
    """Its name and how long it was trained."""
    reference: str
    """How to find it again."""
    objective: str
    """What it was trained with."""
    train_steps: int | None
    """Optimiser steps; None where it does not say."""
    means: Mapping[str, Mapping[float, Mean]]
    """Measure -> s -> mean over scenes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeConditions:
    """On what all checkpoints were compared."""

    teacher: str
    """Name of the teacher."""
    num_scenes: int
    """Fresh scenes, each with its own noises."""
    start: float | None
    """t; None where it was drawn."""
    seed: int
    """Of scenes and noises."""


def probe_report(checkpoints: Sequence[ProbedCheckpoint], conditions: ProbeConditions) -> ExperimentReport:
    """The tables in the order of TITLES, checkpoints in the order given."""
    return ExperimentReport(
        tables=tuple(_table(name, title, checkpoints) for name, title in TITLES.items()),
        notes=_notes(checkpoints, conditions),
        document={
            "schema_version": SCHEMA_VERSION,
            **asdict(conditions),
            "checkpoints": [_checkpoint(one) for one in checkpoints],
            "notes": list(_notes(checkpoints, conditions)),
        },
        records=tuple(
            _record(one, conditions, measure, s, mean)
            for one in checkpoints
            for measure, by_time in one.means.items()
            for s, mean in by_time.items()
        ),
    )


def _table(measure: str, title: str, checkpoints: Sequence[ProbedCheckpoint]) -> TextTable:
    times = list(checkpoints[0].means[measure])
    return TextTable(
        title=title,
        headings=("checkpoint", *(f"s {s:g}" for s in times)),
        rows=tuple((one.label, *(_cell(one.means[measure][s]) for s in times)) for one in checkpoints),
    )


def _cell(mean: Mean) -> str:
    if mean.value is None:
        return DASH
    half = "?" if mean.se is None else f"{Z_TWO_SIDED * mean.se:.2f}"
    return f"{mean.value:.2f} ±{half}" + ("*" if mean.n_left_out else "")


def _notes(checkpoints: Sequence[ProbedCheckpoint], conditions: ProbeConditions) -> tuple[str, ...]:
    start = (
        "t drawn evenly between s and 1" if conditions.start is None else f"t = {conditions.start:g} for all"
    )
    what = (
        f"Delta = G(xhat_s, s, s, phi) - G(xhat_s, s, s, c) of each checkpoint and of {conditions.teacher}, at the same xhat_s: "
        f"the checkpoint's own prediction from x_t, noised again. Mean over {conditions.num_scenes} fresh scenes, ± half of a "
        f"95 % interval over scenes; {start}. All models by their averaged weights, in float32."
    )
    notes = [what]
    if conditions.num_scenes < FEW_SCENES:
        notes.append(
            f"Fewer than {FEW_SCENES} scenes: the intervals are rough (±?: none at all). Ask for more --scenes."
        )
    if any(mean.n_left_out for one in checkpoints for by_s in one.means.values() for mean in by_s.values()):
        notes.append("* scenes in which a direction is zero have no angle; they are left out and counted.")
    return tuple(notes)


def _checkpoint(one: ProbedCheckpoint) -> dict[str, Any]:
    return {
        "label": one.label,
        "checkpoint": one.reference,
        "objective": one.objective,
        "train_steps": one.train_steps,
        "rows": [
            {"s": s, **{measure: asdict(by_time[s]) for measure, by_time in one.means.items()}}
            for s in next(iter(one.means.values()))
        ],
    }


def _record(
    one: ProbedCheckpoint, conditions: ProbeConditions, measure: str, s: float, mean: Mean
) -> dict[str, Any]:
    low, high = mean.ci or (None, None)
    return {
        "checkpoint": one.label,
        "train_steps": one.train_steps,
        "teacher": conditions.teacher,
        "measure": measure,
        "s": s,
        "value": mean.value,
        "se": mean.se,
        "ci_low": low,
        "ci_high": high,
        "n": mean.n,
        "n_left_out": mean.n_left_out,
    }
