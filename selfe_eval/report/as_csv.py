"""The leaderboard as CSV: a line for each metric and step count, empty cells where there is no number.

Values are in the metric's own units: shares as numbers in [0, 1], not in per cent.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from selfe_eval.records import TASKS
from selfe_eval.report.entry import Entry, prompts_of
from selfe_eval.report.measures import MeasureSet
from selfe_eval.report.published import PublishedRow
from selfe_eval.report.published_ablations import PublishedAblation
from selfe_eval.report.summary import METRIC, Summary
from selfe_eval.stats.estimate import Estimate

_HEADINGS = (
    *("model", "suite", "metric", "steps", "nfe", "source", "partial"),
    *("value", "se", "ci_low", "ci_high", "n", "n_unscored", "n_clusters"),
    *TASKS,
    *("seconds_per_image", "run_or_reference", "protocol", "hardware", "rank", "prompts"),
)

_Cell = str | float | int | bool | None

_NO_NUMBERS = (None,) * 6
"""Beside a printed value stand no error, interval and counts."""


def leaderboard_csv(
    entries: Sequence[Entry],
    published: Sequence[PublishedRow],
    ablations: Sequence[PublishedAblation] = (),
) -> str:
    """All rows: of each run GenEval's and then the other metrics', then the published ones."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEADINGS)
    for entry in entries:
        if entry.summary:
            writer.writerows(_measured(entry, entry.summary))
        if entry.measures:
            writer.writerows(_measures(entry, entry.measures))
    writer.writerows(_published(row) for row in published)
    writer.writerows(line for row in ablations for line in _ablation(row))
    return text.getvalue()


def _measured(entry: Entry, summary: Summary) -> list[list[_Cell]]:
    return [
        [
            *(summary.model, summary.suite, summary.metric, row.steps, row.nfe),
            *(entry.source(row.steps), summary.partial),
            *_numbers(row.overall),
            *_tasks(row.tasks),
            *(row.seconds_per_image, entry.run, summary.scorer_sha256),
            *(entry.hardware, entry.ranks.get(row.steps), prompts_of(summary.suite)),
        ]
        for row in summary.rows
    ]


def _measures(entry: Entry, measures: MeasureSet) -> list[list[_Cell]]:
    return [
        [
            *(measures.model, measures.suite, one.metric, row.steps, row.nfe, "measured", measures.partial),
            *_numbers(row.overall),
            *_tasks(row.tasks),
            *(row.seconds_per_image, entry.run, one.protocol_sha256),
            *(entry.hardware, None, prompts_of(measures.suite)),
        ]
        for one in measures.measures
        for row in one.rows
    ]


def _numbers(estimate: Estimate) -> list[_Cell]:
    low, high = estimate.ci or (None, None)
    return [estimate.value, estimate.se, low, high, estimate.n, estimate.n_unscored, estimate.n_clusters]


def _tasks(tasks: Mapping[str, Estimate]) -> list[_Cell]:
    return [tasks[task].value if task in tasks else None for task in TASKS]


def _published(row: PublishedRow) -> list[_Cell]:
    named: list[_Cell] = [row.model, "geneval", METRIC, row.steps, None, "published", None]
    tasks = [row.tasks.get(task) for task in TASKS]
    return [*named, row.overall, *_NO_NUMBERS, *tasks, None, row.reference, *(None,) * 4]


def _ablation(row: PublishedAblation) -> list[list[_Cell]]:
    model = f"{row.model}, {row.iterations} iterations"
    return [
        [
            *(model, "geneval", METRIC, steps, None, "published", None, share),
            *(*_NO_NUMBERS, *(None for _ in TASKS), None, row.reference, *(None,) * 4),
        ]
        for steps, share in row.overall.items()
    ]
