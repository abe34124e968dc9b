"""A comparison in a terminal: B minus A at each step count, overall and by task, and the outcome."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from selfe_eval.records import TASKS
from selfe_eval.report import cells
from selfe_eval.report.comparison import Comparison, ComparisonRow
from selfe_eval.report.summary import METRIC, Summary

_COLORS = {
    "better": "green",
    "worse": "bold red",
    "no_difference_shown": "",
    "pass": "bold green",
    "fail": "bold red",
    "inconclusive": "bold yellow",
    "not_comparable": "bold red",
}


def print_comparison(comparison: Comparison, a: Summary, b: Summary, console: Console) -> None:
    """Write the overall table, the table by task, and the outcome."""
    console.print(Text(f"A: {_named(a)}"))
    console.print(Text(f"B: {_named(b)}"))
    if comparison.rows:
        name = "GenEval" if comparison.metric == METRIC else comparison.metric
        console.print(Text(f"{name} in per cent; B - A and its interval in percentage points, paired:"))
        console.print(_overall_table(comparison, a, b))
        console.print(Text("B - A by task (intervals not adjusted for looking at six tasks):"))
        console.print(_task_table(comparison.rows))
    outcome = Text(comparison.outcome.replace("_", " ").upper(), style=_COLORS[comparison.outcome])
    console.print(outcome.append(f": {comparison.reason}", style="not bold default"))


def _named(summary: Summary) -> str:
    scope = "PARTIAL, " if summary.partial else ""
    return (
        f"{summary.model} ({scope}suite {summary.suite}, detector {summary.detector}, {summary.num_prompts} "
        f"prompts x {summary.images_per_prompt})"
    )


def _overall_table(comparison: Comparison, a: Summary, b: Summary) -> Table:
    table = _new_table("steps", "A", "B", "B - A", "95 % interval", "p (Holm)", "pairs")
    table.add_column("outcome", overflow="fold")
    values = [{row.steps: cells.percent(row.overall.value) for row in summary.rows} for summary in (a, b)]
    for row in comparison.rows:
        delta, ci = row.overall.delta, row.overall.ci
        table.add_row(
            str(row.steps),
            values[0][row.steps],
            values[1][row.steps],
            cells.DASH if delta is None else f"{100 * delta:+.1f}",
            cells.DASH if ci is None else f"[{100 * ci[0]:+.1f}, {100 * ci[1]:+.1f}]",
            cells.DASH if row.p_adjusted is None else f"{row.p_adjusted:.2g}",
            str(row.overall.n),
            Text(row.outcome.replace("_", " "), style=_COLORS[row.outcome]),
        )
    return table


def _task_table(rows: tuple[ComparisonRow, ...]) -> Table:
    table = _new_table("steps")
    for task in TASKS:
        table.add_column(cells.SHORT_TASKS[task], justify="right")
    for row in rows:
        marks = (cells.signed_points(row.tasks[task]) if task in row.tasks else cells.DASH for task in TASKS)
        table.add_row(str(row.steps), *marks)
    return table


def _new_table(*headings: str) -> Table:
    table = Table(box=box.HORIZONTALS, show_edge=False, padding=0)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
