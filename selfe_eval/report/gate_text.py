"""The gate's answer for a terminal, as GitHub markdown and as the document of ``gate --json``.

Tables show the gain: run minus baseline, where better is positive. Of the tasks only those that fail have a row there;
the document has all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from selfe_eval.report import cells
from selfe_eval.report.comparison import Outcome
from selfe_eval.report.comparison_table import number
from selfe_eval.report.gate import Decision, GateRow, worst
from selfe_eval.report.markdown import markdown_table, markdown_text

SCHEMA_VERSION = 1
"""Of the document."""

NARROW_COLUMNS = 100
"""Below this width the table leaves out what baseline and run have each, and p."""

_LEAST_P = 1e-9
"""Smaller ones are shown as below it."""

_HEADINGS = ("metric", "steps", "baseline", "run", "gain", "at least", "at most", "p", "")

_COLORS = {
    "pass": "bold green",
    "fail": "bold red",
    "inconclusive": "bold yellow",
    "not_comparable": "bold red",
}

LEGEND = (
    "gain: run minus baseline, better is positive, paired; at least, at most: its one-sided 95 % bounds; p: of no loss "
    "beyond the tolerance, adjusted (Holm). Shares in per cent and percentage points."
)
"""What the columns are."""


def print_gate(decisions: Sequence[Decision], console: Console) -> None:
    """Write a table and a sentence for each baseline."""
    for decision in decisions:
        console.print(Text(f"Baseline: {decision.against}"))
        shown = shown_rows(decision)
        if shown:
            console.print(_table(shown, wide=console.width >= NARROW_COLUMNS))
            console.print(Text(LEGEND, style="dim"))
        for note in (*tasks_notes(decision), *decision.notes):
            console.print(Text(note))
        line = Text(outcome_word(decision.outcome), style=_COLORS[decision.outcome])
        console.print(line.append(f": {decision.reason}", style="not bold default"))


def gate_markdown(decisions: Sequence[Decision]) -> str:
    """The same for a job summary on GitHub."""
    blocks = []
    for decision in decisions:
        blocks.append(f"### selfe-eval gate: {outcome_word(decision.outcome)}")
        blocks.append(f"{markdown_text(decision.reason)} Baseline: {markdown_text(decision.against)}.")
        shown = shown_rows(decision)
        if shown:
            blocks += [markdown_table(_HEADINGS, [_cells(row) for row in shown]), LEGEND]
        blocks += map(markdown_text, (*tasks_notes(decision), *decision.notes))
    return "\n\n".join(blocks) + "\n"


def gate_document(decisions: Sequence[Decision]) -> dict[str, Any]:
    """The document of ``gate --json``: of several baselines the worst outcome counts."""
    counts = worst(decisions)
    return {
        "schema_version": SCHEMA_VERSION,
        "metrics": [_row_json(decision, row) for decision in decisions for row in decision.rows],
        "outcome": counts.outcome,
        "reason": counts.reason,
        "notes": {decision.against: list(decision.notes) for decision in decisions},
    }


def outcome_word(outcome: Outcome) -> str:
    """The heading of an answer.

    >>> outcome_word("not_comparable")
    'NOT COMPARABLE'
    """
    return outcome.replace("_", " ").upper()


def shown_rows(decision: Decision) -> list[GateRow]:
    """Every metric, and of the tasks those that fail."""
    return [row for row in decision.rows if row.task is None or row.outcome == "fail"]


def tasks_notes(decision: Decision) -> list[str]:
    """What the tasks that have no row say together."""
    tasks = [row for row in decision.rows if row.task is not None]
    worse = sum(row.outcome == "fail" for row in tasks)
    return [f"By task: {worse or 'none'} of {len(tasks)} differences shows a loss."] if tasks else []


def _cells(row: GateRow) -> tuple[str, ...]:
    task = f", {row.task.replace('_', ' ')}" if row.task else ""
    return (
        row.metric + task,
        str(row.steps),
        *(number(value, row.unit, row.difference) for value in row.values),
        *(
            number(value, row.unit, row.difference, sign="+")
            for value in (row.gain, row.gain_lower, row.gain_upper)
        ),
        _p(row.p_adjusted),
        row.outcome,
    )


def _p(value: float | None) -> str:
    if value is None:
        return cells.DASH
    return f"<{_LEAST_P:g}" if value < _LEAST_P else f"{value:.2g}"


def _table(rows: Sequence[GateRow], *, wide: bool) -> Table:
    kept = range(len(_HEADINGS)) if wide else (0, 1, 4, 5, 6, 8)
    table = Table(box=box.HORIZONTALS, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    for place in kept:
        is_text = place in {0, len(_HEADINGS) - 1}
        table.add_column(_HEADINGS[place], justify="left" if is_text else "right", overflow="fold")
    for row in rows:
        texts = list(map(Text, _cells(row)))
        texts[-1] = Text(row.outcome, style=_COLORS[row.outcome])
        table.add_row(*(texts[place] for place in kept))
    return table


def _row_json(decision: Decision, row: GateRow) -> dict[str, Any]:
    difference = row.difference
    return {
        "metric": row.metric,
        "steps": row.steps,
        "delta": difference.delta,
        "se": difference.se,
        "ci": None if difference.ci is None else list(difference.ci),
        "p_adjusted": row.p_adjusted,
        "outcome": row.outcome,
        "task": row.task,
        "is_primary": row.is_primary,
        "unit": row.unit,
        "gain": row.gain,
        "gain_lower": row.gain_lower,
        "gain_upper": row.gain_upper,
        "excluded_loss": row.delta,
        "tolerance": row.tolerance,
        "baseline": row.values[0],
        "run": row.values[1],
        "n": difference.n,
        "n_clusters": difference.n_clusters,
        "against": decision.against,
    }
