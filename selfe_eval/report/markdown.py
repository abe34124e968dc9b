"""The leaderboard as GitHub markdown: for READMEs and job summaries."""

from __future__ import annotations

from collections.abc import Sequence

from selfe_eval.records import TASKS
from selfe_eval.report import cells
from selfe_eval.report.leaderboard import (
    PARTIAL_NOTE,
    caption,
    held_out_sentence,
    measured_alike,
    published_name,
    published_note,
    published_steps,
    score_heading,
    unscored_sentence,
)
from selfe_eval.report.published import PublishedRow, source_marks
from selfe_eval.report.sentences import verdict_sentence, verdict_word
from selfe_eval.report.summary import Row, Summary

_TASK_HEADINGS = tuple(task.replace("_", " ") for task in TASKS)
_PUBLISHED = ("model", "steps", "GenEval", *_TASK_HEADINGS)


def leaderboard_markdown(summaries: Sequence[Summary], published: Sequence[PublishedRow]) -> str:
    """One table for each set of runs that were measured alike, the verdicts, the published rows apart."""
    blocks: list[str] = []
    for group in measured_alike(summaries):
        if group[0].partial:
            blocks.append(f"**{PARTIAL_NOTE}**")
        blocks.append(caption(group[0]))
        rows = [_measured_row(summary, row) for summary in group for row in summary.rows]
        headings = ("model", "steps", "NFE", score_heading(group[0]), *_TASK_HEADINGS, "s/image", "n")
        blocks.append(markdown_table(headings, rows))
        blocks.append("\n".join(_verdict(summary) for summary in group))
    if published:
        marks = source_marks(published)
        rows = [_published_row(row, marks[row.reference]) for row in published]
        blocks.append(markdown_table(_PUBLISHED, rows))
        blocks.append("\\\n".join(published_note(published)))
    return "\n\n".join(blocks) + "\n"


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    r"""A table whose first column is text and whose other columns are numbers.

    >>> print(markdown_table(("model", "n"), [("a|b", "4")]))
    | model | n |
    | :-- | --: |
    | a\|b | 4 |
    """
    rule = (":--", *("--:" for _ in headings[1:]))
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in (headings, rule, *escaped))


def _measured_row(summary: Summary, row: Row) -> list[str]:
    return [
        f"{summary.model} (PARTIAL)" if summary.partial else summary.model,
        str(row.steps),
        cells.DASH if row.nfe is None else str(row.nfe),
        cells.value_and_half_width(row.overall),
        *(cells.percent(row.tasks[task].value if task in row.tasks else None) for task in TASKS),
        cells.seconds(row.seconds_per_image),
        cells.images(row.overall),
    ]


def _published_row(row: PublishedRow, mark: str) -> list[str]:
    tasks = [cells.percent(row.tasks.get(task)) for task in TASKS]
    return [f"*{published_name(row, mark)}*", published_steps(row), cells.percent(row.overall), *tasks]


def _verdict(summary: Summary) -> str:
    line = f"- {summary.model}: **{verdict_word(summary)}**: {verdict_sentence(summary)}"
    return " ".join(filter(None, (line, held_out_sentence(summary), unscored_sentence(summary))))
