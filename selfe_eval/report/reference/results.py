"""The committed files that the report is made of: runs, the documents of experiments, the judge's calibration."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from selfe_eval.errors import UntrustworthyError
from selfe_eval.generate.checkpoints import CONFIG_FILE, WEIGHTS_FILE
from selfe_eval.report.measures import Measure, MeasureSet
from selfe_eval.report.measures_file import read_measures
from selfe_eval.report.summary import Summary, estimate_from_json
from selfe_eval.report.summary_file import read_summary
from selfe_eval.runs.journal import refuse_constant
from selfe_eval.runs.run import RunRecord, open_run
from selfe_eval.stats.estimate import Estimate
from selfe_eval.stats.paired import Difference

DETECTOR = "openmoji-detector"
"""The bundled judge."""

RUNS_FOLDER = "openmoji"
DOCUMENTS_FOLDER = "reference"
FIGURES_FOLDER = "figures"

ABLATION, AGAINST_SELF_E, SCHEDULES, PROBE = "ablation", "ablation-self_e", "schedules", "probe"
"""Stems of the documents: ``ablate`` against flow matching and against Self-E, ``schedules``, ``probe``."""
PAIRS = "ablation-pairs"
"""``ablate`` with two images of each prompt, which is what their spread takes."""
GRID_SEARCH, GRID = "grid-search", "grid"
"""``schedules`` with other time grids: with the seed that chooses one, and with the seed that measures it."""

MADE = "made"
"""Stem of the file that notes how each document was made: command, commit, seeds, hardware, seconds, judge."""

_CALIBRATED = re.compile(r"^\| (intact, all tasks|broken, \w+) \| \w+ \| (\d+) \| (\d+) \|", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How often a judge was right on scenes whose truth is known."""

    weights_sha256: str
    """Of the detector that was calibrated."""
    intact: tuple[int, int]
    """Scenes that show what the prompt asks: right, of so many."""
    broken: tuple[int, int]
    """Scenes that break one requirement: right, of so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundledTraining:
    """How a bundled generator was trained, as its checkpoint says."""

    seed: int
    """Of the training."""
    steps: int
    """Optimiser steps."""
    images_seen: int
    """Rows of all batches."""
    seconds: float
    """Of training, the shared warm start included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceRun:
    """A measured run."""

    record: RunRecord
    """What was asked, where and when."""
    summary: Summary
    """GenEval's numbers."""
    measures: MeasureSet | None
    """Those of the other metrics; None where there are none."""

    @property
    def weights_sha256(self) -> str:
        """Hash of the weights that drew; empty where it is not known."""
        return (self.record.spec.checkpoint_sha256 or {}).get(WEIGHTS_FILE, "")

    def at(self, steps: int) -> Estimate | None:
        """GenEval at a step count; None where that was not measured."""
        return next((row.overall for row in self.summary.rows if row.steps == steps), None)

    def measure(self, kind: str) -> Measure | None:
        """Another metric, by its name without variant."""
        found = self.measures.measures if self.measures else ()
        return next((measure for measure in found if measure.kind == kind), None)

    def measured(self, kind: str, steps: int) -> Estimate | None:
        """Another metric at a step count."""
        measure = self.measure(kind)
        rows = measure.rows if measure else ()
        return next((row.overall for row in rows if row.steps == steps), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """All that there is."""

    runs: Mapping[str, ReferenceRun]
    """Name of the folder -> run."""
    documents: Mapping[str, Mapping[str, Any]]
    """Stem -> document; those that are there."""
    made: Mapping[str, Mapping[str, Any]]
    """Stem of a document -> how it was made, as somebody noted it."""
    calibration: Calibration | None
    """Of the bundled judge."""
    bundled: Mapping[str, BundledTraining]
    """Hash of the weights of a bundled generator -> its training."""
    figures: tuple[str, ...]
    """Names of the files in the folder of figures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedScore:
    """A score beside the one it is compared with."""

    steps: int
    """Number of sampling steps."""
    overall: Estimate
    """The score."""
    against: Difference | None
    """Minus the other one, paired; None for the other one itself."""
    p_adjusted: float | None
    """Holm's p over all comparisons of the document."""


def read_results(folder: Path, checkpoints: Path) -> Results:
    """Everything that is there; what is missing is left out.

    Args:
        folder: The folder of results.
        checkpoints: The folder of the bundled checkpoints.

    Raises:
        UntrustworthyError: a file is damaged, or speaks of a part of the suite only.
    """
    runs = sorted(path for path in (folder / RUNS_FOLDER).glob("*/") if path.is_dir())
    documents = {path.stem: _document(path) for path in sorted((folder / DOCUMENTS_FOLDER).glob("*.json"))}
    made = documents.pop(MADE, {})
    return Results(
        runs={path.name: read_run(path) for path in runs},
        documents=documents,
        made=made,
        calibration=read_calibration(checkpoints / DETECTOR),
        bundled=dict(filter(None, map(_bundled, sorted(checkpoints.glob(f"*/{CONFIG_FILE}"))))),
        figures=tuple(sorted(path.name for path in (folder / FIGURES_FOLDER).glob("*.png"))),
    )


def read_run(folder: Path) -> ReferenceRun:
    """The committed files of a run.

    Raises:
        UntrustworthyError: the run is partial or its numbers cannot be believed.
    """
    return ReferenceRun(
        record=open_run(folder).record, summary=read_summary(folder), measures=read_measures(folder)
    )


def read_calibration(detector: Path) -> Calibration | None:
    """The calibration that the README of a detector states, of the weights beside it; None where it states none."""
    readme, config = detector / "README.md", detector / CONFIG_FILE
    if not readme.is_file() or not config.is_file():
        return None
    rows = _CALIBRATED.findall(readme.read_text(encoding="utf-8"))
    counts = {
        kind: [(int(right), int(of)) for label, right, of in rows if label.startswith(kind)]
        for kind in ("intact", "broken")
    }
    if not all(counts.values()):
        return None
    intact, broken = (
        (sum(right for right, _ in found), sum(of for _, of in found)) for found in counts.values()
    )
    weights = json.loads(config.read_bytes())["files"][WEIGHTS_FILE]
    return Calibration(weights_sha256=weights, intact=intact, broken=broken)


def _bundled(config: Path) -> tuple[str, BundledTraining] | None:
    """A checkpoint's weights and training; None where it draws no pictures."""
    stated = json.loads(config.read_bytes())
    if "sampler" not in stated:
        return None
    training = stated["training"]
    found = {field.name: training[field.name] for field in fields(BundledTraining)}
    return stated["files"][WEIGHTS_FILE], BundledTraining(**found)


def variant_scores(document: Mapping[str, Any]) -> dict[str, tuple[ComparedScore, ...]]:
    """Variant -> its scores in a document of ``ablate``, by ascending step count."""
    return {
        variant["variant"]: tuple(compared_score(row, against="against_baseline") for row in variant["rows"])
        for variant in document["variants"]
    }


def variant_measures(document: Mapping[str, Any], kind: str) -> dict[str, dict[int, Estimate]]:
    """Variant -> step count -> a metric beside GenEval, of the first training of each variant that has it.

    Args:
        document: Of ``ablate``.
        kind: Name of the metric without its variant.
    """
    found: dict[str, dict[int, Estimate]] = {}
    for variant in document["variants"]:
        numbers = [one for one in variant.get("measures", ()) if one["metric"].partition("[")[0] == kind]
        first = [one for one in numbers if one["seed"] == variant["seeds"][0]]
        if first:
            found[variant["variant"]] = {one["steps"]: estimate_from_json(one["overall"]) for one in first}
    return found


def measure_name(document: Mapping[str, Any], kind: str) -> str:
    """The full name of a metric in a document of ``ablate`` that has it; else the name without variant."""
    names = (one["metric"] for variant in document["variants"] for one in variant.get("measures", ()))
    return next((name for name in names if name.partition("[")[0] == kind), kind)


def compared_score(row: Mapping[str, Any], *, against: str) -> ComparedScore:
    """One row of a document of ``ablate`` or ``schedules``.

    Args:
        row: The row.
        against: Key of the difference.
    """
    other = row[against]
    return ComparedScore(
        steps=row["steps"],
        overall=estimate_from_json(row["overall"]),
        against=None if other is None else _difference(other),
        p_adjusted=row["p_adjusted"],
    )


def score_at(scores: tuple[ComparedScore, ...], steps: int) -> ComparedScore | None:
    """The score at a step count; None where there is none."""
    return next((score for score in scores if score.steps == steps), None)


def _difference(document: Mapping[str, Any]) -> Difference:
    ci = document["ci"]
    plain = {field.name: document[field.name] for field in fields(Difference)}
    return Difference(**{**plain, "ci": None if ci is None else (float(ci[0]), float(ci[1]))})


def _document(path: Path) -> Mapping[str, Any]:
    try:
        document = json.loads(path.read_bytes(), parse_constant=refuse_constant)
    except ValueError as error:
        raise UntrustworthyError(
            f"{path} is damaged: expected one JSON document, but {error}. Write it again with the `--json` of its command."
        ) from error
    if not isinstance(document, dict) or document.get("partial"):
        raise UntrustworthyError(
            f"{path}: expected the document of an experiment on the whole suite, found a part of it or something else. "
            "Write it again with the `--json` of its command, without --limit."
        )
    return document
