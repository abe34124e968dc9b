"""What a run says beyond its mean, in a terminal: one row a step count, below the leaderboard of a single run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from selfe_eval.report import cells
from selfe_eval.report.reasons import REASON_KINDS
from selfe_eval.report.sensitivity import ThresholdScore
from selfe_eval.report.summary import Row, Summary

_REASON_HEADINGS = dict(
    zip(
        REASON_KINDS,
        ("too few", "too many", "color", "posn", "target", "other", "unscored"),
        strict=True,
    )
)


ALARMING_SHARE = 0.95
"""Of images without any detection: a warning from there on."""


@dataclass(frozen=True, slots=True)
class _Column:
    heading: str
    cell: Callable[[Row], str]


@dataclass(frozen=True, slots=True)
class _Block:
    """Columns that stay together, and the line that explains them."""

    columns: tuple[_Column, ...]
    note: str


def print_details(summary: Summary, console: Console) -> None:
    """Write shares per prompt, reasons, the range at other thresholds and near ties.

    Args:
        summary: The run.
        console: Where to; its width decides how many tables the columns need.
    """
    blocks = [
        block for block in (_PER_PROMPT, _thresholds(summary.rows), _reasons(summary.rows)) if block.columns
    ]
    for beside in _fitting(blocks, summary.rows, console.width):
        console.print()
        console.print(_table([column for block in beside for column in block.columns], summary.rows))
        for block in beside:
            console.print(Text(block.note, style="dim"))
    for line in filter(None, map(_alarm, summary.rows)):
        console.print(Text(line, style="bold red"))


def _alarm(row: Row) -> str | None:
    """A line where nearly nothing was detected, which GenEval's broken installations have in common."""
    if not row.overall.n or row.num_empty < ALARMING_SHARE * row.overall.n:
        return None
    steps = "step" if row.steps == 1 else "steps"
    return (
        f"At {row.steps} {steps} nothing was detected in {row.num_empty} of {row.overall.n} images: they show "
        "nothing, or the detector does not work here (see `selfe-eval doctor`)."
    )


def _share(name: str, row: Row) -> str:
    return cells.value_and_half_width(row.per_prompt[name])


_PER_PROMPT = _Block(
    tuple(_Column(name, partial(_share, name)) for name in ("any", "mean", "all")),
    "any, mean, all: per cent of prompts with any, of images, and of prompts with all images correct.",
)


def _reasons(rows: Sequence[Row]) -> _Block:
    kinds = [kind for kind in REASON_KINDS if any(kind in row.reasons for row in rows)]
    headings = [_REASON_HEADINGS[kind] for kind in kinds]
    return _Block(
        tuple(_Column(h, partial(_count, kind)) for h, kind in zip(headings, kinds, strict=True)),
        f"{', '.join(headings)}: number of images by what is wrong with them; some have several faults.",
    )


def _count(kind: str, row: Row) -> str:
    return str(row.reasons.get(kind, 0))


def _thresholds(rows: Sequence[Row]) -> _Block:
    """The score's range over each threshold's curve, and near ties."""
    columns = []
    for heading, name in (("T", "confidence"), ("Tc", "counting")):
        tried = [score.threshold for row in rows for score in _curve(name, row)]
        if tried:
            span = f"{heading} {min(tried):.2g}-{max(tried):.2g}"
            columns.append(_Column(span, partial(_range, name)))
    note = "ties: of the images whose colours matter, those where rounding could have decided one otherwise."
    if columns:
        note = f"T, Tc: the overall score's range over these thresholds, Tc for counting alone. {note}"
    return _Block((*columns, _Column("ties", _ties)), note)


def _ties(row: Row) -> str:
    return f"{row.near_ties.images}/{row.near_ties.of}"


def _curve(name: str, row: Row) -> tuple[ThresholdScore, ...]:
    if row.sensitivity is None:
        return ()
    return row.sensitivity.counting if name == "counting" else row.sensitivity.confidence


def _range(name: str, row: Row) -> str:
    """Lowest and highest overall score of a curve, in per cent."""
    known = [score.overall for score in _curve(name, row) if score.overall is not None]
    return f"{cells.percent(min(known))}-{cells.percent(max(known))}" if known else cells.DASH


def _fitting(blocks: Sequence[_Block], rows: Sequence[Row], width: int) -> list[list[_Block]]:
    """The blocks in as few tables as the width allows."""
    tables: list[list[_Block]] = [[]]
    for block in blocks:
        beside = [column for other in (*tables[-1], block) for column in other.columns]
        if tables[-1] and _width(beside, rows) > width:
            tables.append([])
        tables[-1].append(block)
    return tables


def _width(columns: Sequence[_Column], rows: Sequence[Row]) -> int:
    """Characters that a table takes: the longest cell of each column, and one between columns."""
    longest = [max(len(column.heading), *(len(column.cell(row)) for row in rows)) for column in columns]
    return len("steps") + sum(longest) + len(columns)


def _table(columns: Sequence[_Column], rows: Sequence[Row]) -> Table:
    table = Table(box=box.HORIZONTALS, show_edge=False, padding=0)
    for heading in ("steps", *(column.heading for column in columns)):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(str(row.steps), *(Text(column.cell(row)) for column in columns))
    return table
