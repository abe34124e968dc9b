"""The leaderboard as GitHub markdown: for READMEs and job summaries."""

from __future__ import annotations

import html
from collections.abc import Sequence

from selfe_eval.records import TASKS
from selfe_eval.report import cells
from selfe_eval.report.entry import Entry, measured_alike
from selfe_eval.report.leaderboard import (
    PARTIAL_NOTE,
    caption,
    group_notes,
    held_out_sentence,
    is_ranked,
    published_name,
    published_note,
    published_steps,
    rank_cell,
    score_heading,
    steps_cell,
    unscored_sentence,
)
from selfe_eval.report.published import PublishedRow, source_marks
from selfe_eval.report.sentences import verdict_sentence, verdict_word
from selfe_eval.report.summary import Row, Summary

_TASK_HEADINGS = tuple(task.replace("_", " ") for task in TASKS)
_PUBLISHED = ("model", "steps", "GenEval", *_TASK_HEADINGS)


def leaderboard_markdown(entries: Sequence[Entry], published: Sequence[PublishedRow]) -> str:
    """One table for each set of runs that were measured alike, the verdicts, the published rows apart."""
    blocks: list[str] = []
    for group in measured_alike(entries):
        _, first = group[0]
        if first.partial:
            blocks.append(f"**{PARTIAL_NOTE}**")
        blocks.append(" ".join((caption(first), *group_notes(group))))
        ranked = is_ranked(group)
        rows = [_measured_row(entry, row, ranked=ranked) for entry, summary in group for row in summary.rows]
        rank = ("rank",) if ranked else ()
        blocks.append(
            markdown_table(
                ("model", "steps", "NFE", score_heading(first), *rank, *_TASK_HEADINGS, "s/image", "n"), rows
            )
        )
        blocks.append("\n".join(_verdict(summary) for _, summary in group))
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
    escaped = [map(markdown_text, row) for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in (headings, rule, *escaped))


def markdown_text(text: str) -> str:
    r"""One line, in which nothing is HTML or ends a cell; names of models are anybody's.

    >>> print(markdown_text("a|b\n<img src=x>"))
    a\|b &lt;img src=x&gt;
    """
    return html.escape(" ".join(text.splitlines()), quote=False).replace("|", "\\|")


def _measured_row(entry: Entry, row: Row, *, ranked: bool) -> list[str]:
    is_partial = entry.summary is not None and entry.summary.partial
    return [
        f"{entry.model} (PARTIAL)" if is_partial else entry.model,
        steps_cell(entry, row),
        cells.DASH if row.nfe is None else str(row.nfe),
        cells.value_and_half_width(row.overall),
        *([rank_cell(entry, row)] if ranked else []),
        *(cells.percent(row.tasks[task].value if task in row.tasks else None) for task in TASKS),
        cells.seconds(row.seconds_per_image),
        cells.images(row.overall),
    ]


def _published_row(row: PublishedRow, mark: str) -> list[str]:
    tasks = [cells.percent(row.tasks.get(task)) for task in TASKS]
    return [f"*{published_name(row, mark)}*", published_steps(row), cells.percent(row.overall), *tasks]


def _verdict(summary: Summary) -> str:
    line = f"- {markdown_text(summary.model)}: **{verdict_word(summary)}**: {verdict_sentence(summary)}"
    return " ".join(filter(None, (line, held_out_sentence(summary), unscored_sentence(summary))))
