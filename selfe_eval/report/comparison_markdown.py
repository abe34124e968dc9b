"""A comparison as GitHub markdown: for job summaries and pull requests."""

from __future__ import annotations

from collections.abc import Sequence

from selfe_eval.records import TASKS
from selfe_eval.report import cells
from selfe_eval.report.comparison import Comparison
from selfe_eval.report.comparison_table import (
    FLIPS_NOTE,
    WORDS,
    family_note,
    flip_cells,
    left_out,
    pairing_note,
    row_cells,
    run_title,
    title,
)
from selfe_eval.report.evidence import RunEvidence
from selfe_eval.report.flips import StepFlips
from selfe_eval.report.markdown import markdown_table, markdown_text

_HEADINGS = ("metric", "steps", "A", "B", "B - A", "95 % interval", "p", "shown")
_TASK_HEADINGS = tuple(task.replace("_", " ") for task in TASKS)


def comparison_markdown(
    comparison: Comparison, a: RunEvidence, b: RunEvidence, *, flips: Sequence[StepFlips] = ()
) -> str:
    """The outcome first, then the same tables as in a terminal."""
    outcome = comparison.outcome.replace("_", " ").upper()
    blocks = [f"**{outcome}**: {markdown_text(comparison.reason)}", _runs(a, b)]
    if comparison.metrics:
        blocks.append(pairing_note(comparison, a, b))
    blocks += map(markdown_text, comparison.notes)
    for metrics in filter(None, (comparison.metrics[:1], comparison.metrics[1:])):
        rows = [
            (title(one.metric), *row_cells(one, row), WORDS[row.outcome])
            for one in metrics
            for row in one.rows
        ]
        blocks += [markdown_table(_HEADINGS, rows), family_note(metrics)]
    by_task = [(one.metric, row) for one in comparison.metrics for row in one.rows if row.tasks]
    if by_task:
        blocks.append("B - A by task (intervals not adjusted for looking at six tasks):")
        marks = [
            (
                str(row.steps),
                *(
                    cells.signed_points(row.tasks[task]) if task in row.tasks else cells.DASH
                    for task in TASKS
                ),
            )
            for _, row in by_task
        ]
        blocks.append(markdown_table(("steps", *_TASK_HEADINGS), marks))
    if flips:
        lines = [(str(found.steps), *flip_cells(found)) for found in flips]
        blocks += [FLIPS_NOTE, markdown_table(("steps", "all", "p", *_TASK_HEADINGS), lines)]
    blocks += [
        markdown_text(f"{metric} is not compared: {reason}")
        for metric, reason in left_out(comparison).items()
    ]
    return "\n\n".join(blocks) + "\n"


def _runs(a: RunEvidence, b: RunEvidence) -> str:
    return f"- A: {markdown_text(run_title(a))}\n- B: {markdown_text(run_title(b))}"
