"""Where each row of the report comes from: command, commit, seeds, hardware, time, and the judge with its calibration."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from selfe_eval.report import cells
from selfe_eval.report.entry import hardware_of
from selfe_eval.report.experiment import TextTable
from selfe_eval.report.reference.headline import SELF_E
from selfe_eval.report.reference.results import ABLATION, ReferenceRun, Results


def provenance_table(results: Results) -> TextTable:
    """A row for each run, in the order of their folders."""
    return TextTable(
        title="Where the rows come from",
        headings=(
            "run",
            "weights",
            "training seed",
            "images seen",
            "s of training (shared + own)",
            "run seed",
            "images",
            "s of drawing",
            "hardware",
            "judge",
            "commit",
            "command",
        ),
        rows=tuple(_row(name, run, results) for name, run in results.runs.items()),
    )


def experiments_table(results: Results) -> TextTable:
    """A row for each document of an experiment, as noted beside them."""
    fields = ("command", "commit", "seeds", "hardware", "seconds", "judge")
    return TextTable(
        title="Where the experiments come from",
        headings=("document", *fields),
        rows=tuple(
            (stem, *(_noted(results.made.get(stem, {}).get(field)) for field in fields))
            for stem in results.documents
        ),
    )


def _noted(value: object) -> str:
    if value is None:
        return cells.DASH
    return whole_seconds(value) if isinstance(value, int | float) else str(value)


def commands(results: Results) -> list[str]:
    """The command lines of all runs, each once, in the order of their first run."""
    return list(dict.fromkeys(command for run in results.runs.values() if (command := _command(run))))


def judge_sentences(results: Results) -> list[str]:
    """Each judge of the runs by its hash, with how often it was right on scenes whose truth is known."""
    judges = {run.summary.scorer_sha256: run for run in results.runs.values()}
    return [
        f"Judge {sha256[:8]} ({run.summary.detector}): {_calibrated(run, results)}."
        for sha256, run in judges.items()
    ]


def drawing_seconds(run: ReferenceRun) -> float | None:
    """Seconds of drawing all images of a run: median of an image times their number, over its step counts."""
    summary = run.summary
    images = summary.num_prompts * summary.images_per_prompt
    known = [row.seconds_per_image for row in summary.rows]
    return None if None in known else images * sum(seconds for seconds in known if seconds is not None)


def training_of(name: str, results: Results) -> Mapping[str, Any] | None:
    """The entry of a variant in the document of the ablation; None where no such variant was trained."""
    document = results.documents.get(ABLATION)
    return next((one for one in (document["variants"] if document else []) if one["variant"] == name), None)


def training_parts(training: Mapping[str, Any], budget: Mapping[str, Any]) -> tuple[float, float]:
    """Mean seconds of a training up to the end of the warm start, which is shared, and after it.

    Args:
        training: The entry of a variant in the document of ``ablate``; its seconds are those of both parts.
        budget: Of the same document.
    """
    whole, steps = fmean(training["train_seconds"]), training["step_seconds"]
    if not budget["warm_start_steps"] or not steps:
        return 0.0, whole
    own = min(whole, fmean(steps) * (budget["num_steps"] - budget["warm_start_steps"]))
    return whole - own, own


def training_seconds(results: Results) -> float | None:
    """Of all trainings of the ablation, the shared warm start of each seed counted once; None without one."""
    document = results.documents.get(ABLATION)
    if document is None:
        return None
    parts = [training_parts(one, document["budget"]) for one in document["variants"]]
    num_seeds = len(document["variants"][0]["seeds"])
    return num_seeds * (min(shared for shared, _ in parts) + sum(own for _, own in parts))


def drawn_seconds(results: Results, names: Sequence[str]) -> float | None:
    """Of drawing all images of these runs; None where that of one is not known."""
    found = [drawing_seconds(results.runs[name]) for name in names if name in results.runs]
    return None if not found or None in found else sum(seconds for seconds in found if seconds is not None)


def sweep_seconds(results: Results, stem: str) -> float | None:
    """Of drawing all images of a document of ``schedules``, at the speed of the bundled model's own run; else None."""
    cells_drawn, run = results.documents.get(stem, {}).get("cells"), results.runs.get(SELF_E)
    if cells_drawn is None or run is None:
        return None
    speeds = {row.steps: row.seconds_per_image for row in run.summary.rows}
    total = 0.0
    for cell in cells_drawn:
        seconds = speeds.get(cell["steps"])
        if seconds is None:
            return None
        total += seconds * int(cell["overall"]["n"])
    return total


def whole_seconds(seconds: float | None) -> str:
    """Seconds to the next whole one, thousands apart.

    >>> whole_seconds(12345.6), whole_seconds(None)
    ('12,346', '-')
    """
    return cells.DASH if seconds is None else f"{seconds:,.0f}"


def _row(name: str, run: ReferenceRun, results: Results) -> tuple[str, ...]:
    summary, record = run.summary, run.record
    command = _command(run)
    return (
        name,
        run.weights_sha256[:8] or cells.DASH,
        *_training_cells(name, run, results),
        str(record.spec.seed),
        f"{summary.num_prompts} x {summary.images_per_prompt} x {len(summary.rows)}",
        whole_seconds(drawing_seconds(run)),
        hardware_of(record) or cells.DASH,
        summary.scorer_sha256[:8],
        _commit(run),
        f"({commands(results).index(command) + 1})" if command else cells.DASH,
    )


def _training_cells(name: str, run: ReferenceRun, results: Results) -> tuple[str, str, str]:
    """Seeds, images seen and seconds."""
    variant, bundled = training_of(name, results), results.bundled.get(run.weights_sha256)
    if variant is not None:
        budget = results.documents[ABLATION]["budget"]
        seconds = " + ".join(map(whole_seconds, training_parts(variant, budget)))
        images = budget["num_steps"] * budget["batch_size"]
        return ", ".join(map(str, variant["seeds"])), f"{images:,}", seconds
    if bundled is not None:
        return str(bundled.seed), f"{bundled.images_seen:,}", whole_seconds(bundled.seconds)
    return cells.DASH, cells.DASH, cells.DASH


def _command(run: ReferenceRun) -> str:
    argv = run.record.attempts[0].get("argv") if run.record.attempts else None
    return shlex.join(argv) if argv else ""


def _commit(run: ReferenceRun) -> str:
    git = (run.record.attempts[0].get("git") if run.record.attempts else None) or {}
    if not git.get("commit"):
        return cells.DASH
    return f"{git['commit'][:8]}{' + changes' if git.get('dirty') else ''}"


def _calibrated(run: ReferenceRun, results: Results) -> str:
    calibration = results.calibration
    if calibration is None or calibration.weights_sha256 != run.summary.scorer.get("weights_sha256"):
        return "not calibrated"
    (intact, of_intact), (broken, of_broken) = calibration.intact, calibration.broken
    return (
        f"says correct of {intact} of {of_intact} scenes that show their prompt ({100 * intact / of_intact:.1f} %), and wrong "
        f"of {broken} of {of_broken} that break one requirement ({100 * broken / of_broken:.1f} %); `selfe-eval calibrate`"
    )
