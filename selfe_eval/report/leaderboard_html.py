"""The leaderboard as one HTML page: sortable tables, readable on a phone and without network or script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from selfe_eval import __version__
from selfe_eval.records import TASKS
from selfe_eval.report import cells
from selfe_eval.report.entry import Entry, Scored, measured_alike, prompts_of
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
    unscored_sentence,
)
from selfe_eval.report.measures_board import Board, board_notes, boards
from selfe_eval.report.published import PublishedRow, source_marks
from selfe_eval.report.published_ablations import PublishedAblation, ablations_report
from selfe_eval.report.sentences import claim_sentence, claim_word, verdict_sentence, verdict_word
from selfe_eval.report.summary import Row

_TEMPLATES = Path(__file__).parent / "templates"

_TASK_HEADINGS = tuple(task.replace("_", " ") for task in TASKS)

_TEXT = frozenset({"model", "model †", "rank", "hardware", "source", "prompts"})
"""Headings of columns that are sorted as text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A table with what is said above and below it."""

    title: str
    """What is measured."""
    notes: Sequence[str] = ()
    """What one has to know to read it."""
    stamp: str = ""
    """The stamp of partial runs, or empty."""
    headings: Sequence[tuple[str, bool]] = ()
    """Of the columns, and whether they hold text; none where there are only notes."""
    rows: Sequence[Sequence[str]] = ()
    """As many cells as headings in each."""
    verdicts: Sequence[tuple[str, str, str, str]] = ()
    """Model, outcome, word and sentence."""
    is_published: bool = False
    """Whether the numbers are a paper's."""


def leaderboard_html(
    entries: Sequence[Entry], published: Sequence[PublishedRow], ablations: Sequence[PublishedAblation]
) -> str:
    """The page: GenEval's tables, those of the other metrics, and the printed rows apart.

    Args:
        entries: The measured runs, in the order to show them.
        published: Rows of papers.
        ablations: Printed ablations.
    """
    found = boards([entry.measures for entry in entries if entry.measures])
    sections = [_scores(group) for group in measured_alike(entries)]
    sections += [_published(published)] if published else []
    sections += [_board(board) for board in found]
    sections += [Section(title="What these metrics are", notes=board_notes(found))] if found else []
    sections += _ablations(ablations)
    style, script = (
        (_TEMPLATES / name).read_text(encoding="utf-8") for name in ("leaderboard.css", "leaderboard.js")
    )
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("leaderboard.html.jinja").render(
        sections=sections,
        version=__version__,
        style=style,
        script=script,
        policy=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}",
    )


def _scores(group: Sequence[Scored]) -> Section:
    _, first = group[0]
    rank = ("rank",) if is_ranked(group) else ()
    headings = (
        *("model", "steps", "NFE", score_heading(first), *rank, *_TASK_HEADINGS),
        *("s/image", "hardware", "n", "source", "prompts"),
    )
    return Section(
        title=f"{score_heading(first)} on {first.suite}",
        notes=(caption(first), *group_notes(group)),
        stamp=PARTIAL_NOTE if first.partial else "",
        headings=_kinds(headings),
        rows=[_row(entry, row, ranked=bool(rank)) for entry, summary in group for row in summary.rows],
        verdicts=[
            (
                summary.model,
                summary.verdict.outcome,
                verdict_word(summary),
                " ".join(
                    filter(
                        None,
                        (verdict_sentence(summary), held_out_sentence(summary), unscored_sentence(summary)),
                    )
                ),
            )
            for _, summary in group
        ],
    )


def _row(entry: Entry, row: Row, *, ranked: bool) -> list[str]:
    summary = entry.summary
    assert summary is not None
    return [
        f"{entry.model} PARTIAL" if summary.partial else entry.model,
        str(row.steps),
        cells.DASH if row.nfe is None else str(row.nfe),
        cells.value_and_half_width(row.overall),
        *([rank_cell(entry, row)] if ranked else []),
        *(cells.value_and_half_width(row.tasks[task]) if task in row.tasks else cells.DASH for task in TASKS),
        cells.seconds(row.seconds_per_image),
        entry.hardware or cells.DASH,
        cells.images(row.overall),
        entry.source(row.steps),
        prompts_of(summary.suite),
    ]


def _published(rows: Sequence[PublishedRow]) -> Section:
    marks = source_marks(rows)
    return Section(
        title="Published, not measured here",
        notes=published_note(rows),
        headings=_kinds(("model", "steps", "GenEval", *_TASK_HEADINGS, "source")),
        rows=[
            [
                published_name(row, marks[row.reference]),
                published_steps(row),
                cells.percent(row.overall),
                *(cells.percent(row.tasks.get(task)) for task in TASKS),
                "published",
            ]
            for row in rows
        ],
        is_published=True,
    )


def _board(board: Board) -> Section:
    columns = (board.models, *board.steps)
    return Section(
        title=board.title,
        stamp=PARTIAL_NOTE if board.is_partial else "",
        headings=_kinds([column.heading for column in columns]),
        rows=list(zip(*(column.cells for column in columns), strict=True)),
        verdicts=[
            (model, claim.verdict.outcome, claim_word(claim), claim_sentence(claim))
            for model, claim in board.claims
        ],
    )


def _ablations(rows: Sequence[PublishedAblation]) -> list[Section]:
    report = ablations_report(rows)
    return [
        Section(
            title=table.title,
            notes=report.notes,
            headings=_kinds(table.headings),
            rows=table.rows,
            is_published=True,
        )
        for table in report.tables
    ]


def _kinds(headings: Sequence[str]) -> list[tuple[str, bool]]:
    return [(heading, heading in _TEXT) for heading in headings]


def _hash(text: str) -> str:
    """How a policy names a script or style that the page carries."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
