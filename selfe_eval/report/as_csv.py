"""The leaderboard as CSV: one line a row, shares as numbers, empty cells where there is no number."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from selfe_eval.records import TASKS
from selfe_eval.report.published import PublishedRow
from selfe_eval.report.summary import METRIC, Summary

_HEADINGS = (
    *("model", "suite", "metric", "steps", "nfe", "source", "partial"),
    *("value", "se", "ci_low", "ci_high", "n", "n_unscored", "n_clusters"),
    *TASKS,
    *("seconds_per_image", "run_or_reference"),
)

_Cell = str | float | int | bool | None


def leaderboard_csv(entries: Sequence[tuple[str, Summary]], published: Sequence[PublishedRow]) -> str:
    """All rows: (run folder, summary) pairs first, then the published ones."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEADINGS)
    for run, summary in entries:
        writer.writerows(_measured(run, summary))
    writer.writerows(_published(row) for row in published)
    return text.getvalue()


def _measured(run: str, summary: Summary) -> list[list[_Cell]]:
    rows: list[list[_Cell]] = []
    for row in summary.rows:
        overall = row.overall
        low, high = overall.ci or (None, None)
        tasks = [row.tasks[task].value if task in row.tasks else None for task in TASKS]
        named: list[_Cell] = [summary.model, summary.suite, summary.metric, row.steps, row.nfe, "measured"]
        numbers: list[_Cell] = [overall.value, overall.se, low, high]
        counts: list[_Cell] = [overall.n, overall.n_unscored, overall.n_clusters]
        rows.append([*named, summary.partial, *numbers, *counts, *tasks, row.seconds_per_image, run])
    return rows


def _published(row: PublishedRow) -> list[_Cell]:
    tasks = [row.tasks.get(task) for task in TASKS]
    named: list[_Cell] = [row.model, "geneval", METRIC, row.steps, None, "published", None]
    return [*named, row.overall, *(None for _ in range(6)), *tasks, None, row.reference]
