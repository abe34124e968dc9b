"""A comparison in a terminal: B minus A at each step count, the primary metric first and by task, then the others."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from selfe_eval.metrics import Unit
from selfe_eval.records import TASKS
from selfe_eval.report import cells
from selfe_eval.report.comparison import Comparison, ComparisonRow, MetricComparison, kind_of
from selfe_eval.report.evidence import RunEvidence
from selfe_eval.report.flips import FlipCounts, StepFlips
from selfe_eval.report.measures_text import OTHER_PROTOCOL_NOTE, title_of
from selfe_eval.stats.estimate import Z_TWO_SIDED
from selfe_eval.stats.paired import Difference

NARROW_COLUMNS = 78
"""Below this width the tables leave out what A and B have each."""

FLIPS_NOTE = (
    "Images that went from right to wrong (-) and from wrong to right (+); p: exact sign test, which takes images of a "
    "prompt for independent and only describes:"
)
"""What the counts are."""

WORDS = {"better": "better", "worse": "worse", "different": "differs", "no_difference_shown": "-"}
"""Of each row outcome."""

_COLORS = {
    "better": "green",
    "worse": "bold red",
    "different": "yellow",
    "no_difference_shown": "",
    "pass": "bold green",
    "fail": "bold red",
    "inconclusive": "bold yellow",
    "not_comparable": "bold red",
}


def print_comparison(
    comparison: Comparison,
    a: RunEvidence,
    b: RunEvidence,
    console: Console,
    *,
    flips: Sequence[StepFlips] = (),
) -> None:
    """Write a table for the primary metric, one by task, one for the other metrics, the flips, and the outcome."""
    console.print(Text(f"A: {run_title(a)}"))
    console.print(Text(f"B: {run_title(b)}"))
    if comparison.metrics:
        console.print(Text(pairing_note(comparison, a, b)))
    for note in comparison.notes:
        console.print(Text(note, style="yellow"))
    for metrics in filter(None, (comparison.metrics[:1], comparison.metrics[1:])):
        console.print()
        console.print(_table(metrics, wide=console.width >= NARROW_COLUMNS))
        widths = "±: half of a 95 % interval. " if len(metrics) > 1 else ""
        console.print(Text(f"{widths}{family_note(metrics)}", style="dim"))
        by_task = [row for row in metrics[0].rows if row.tasks]
        if by_task:
            console.print()
            console.print(Text("B - A by task (intervals not adjusted for looking at six tasks):"))
            console.print(_task_table(by_task))
    print_flips(flips, console)
    console.print()
    for metric, reason in left_out(comparison).items():
        console.print(Text(f"{metric} is not compared: {reason}"))
    outcome = Text(comparison.outcome.replace("_", " ").upper(), style=_COLORS[comparison.outcome])
    console.print(outcome.append(f": {comparison.reason}", style="not bold default"))


def print_flips(flips: Sequence[StepFlips], console: Console) -> None:
    """Write how many images went from right to wrong, and back, of all and by task."""
    if not flips:
        return
    console.print()
    console.print(Text(FLIPS_NOTE))
    table = Table(box=box.HORIZONTALS, show_edge=False, padding=0)
    table.add_column("steps", justify="right", no_wrap=True)
    for heading in ("all", "p", *(cells.SHORT_TASKS[task] for task in TASKS)):
        table.add_column(heading, justify="right", overflow="fold")
    for found in flips:
        table.add_row(str(found.steps), *flip_cells(found))
    console.print(table)


def flip_cells(found: StepFlips) -> tuple[str, ...]:
    """All flips, the p-value of the sign test, and the flips of each task."""
    by_task = (flip_counts(found.tasks[task]) if task in found.tasks else cells.DASH for task in TASKS)
    return flip_counts(found.overall), f"{found.p_sign:.2g}", *by_task


def flip_counts(counts: FlipCounts) -> str:
    """Lost and won.

    >>> flip_counts(FlipCounts(to_wrong=3, to_right=12))
    '-3 +12'
    """
    return f"-{counts.to_wrong} +{counts.to_right}"


def run_title(run: RunEvidence) -> str:
    """Model, suite and size, stamped where the run is partial."""
    scope = "PARTIAL, " if run.partial else ""
    return f"{run.model} ({scope}suite {run.suite}, {len(run.tasks)} prompts x {run.images_per_prompt})"


def pairing_note(comparison: Comparison, a: RunEvidence, b: RunEvidence) -> str:
    """What the two runs have in common."""
    if comparison.same_noise:
        return f"Paired by prompt and noise (both were drawn with run seed {a.seed})."
    if a.seed is None or b.seed is None:
        why = "images that were found have noise that is not known"
    else:
        why = f"the run seeds are {a.seed} and {b.seed}, so the noise is not the same"
    return f"Paired by prompt only: {why}."


def family_note(metrics: Sequence[MetricComparison]) -> str:
    """What the p-values of a table are adjusted for, and which way is better."""
    num_rows = sum(len(one.rows) for one in metrics)
    lower = [title_of(one.metric) for one in metrics if not one.higher_is_better]
    adjusted = f"p adjusted (Holm) for {num_rows} question{'s' if num_rows > 1 else ''}"
    note = f"Shares in per cent, differences in percentage points; {adjusted}; -: no difference shown."
    if lower:
        note += f" Lower is better: {', '.join(lower)}."
    if any(title_of(one.metric) != title_of(kind_of(one.metric)) for one in metrics):
        note += f" {OTHER_PROTOCOL_NOTE}"
    return note


def left_out(comparison: Comparison) -> dict[str, str]:
    """Metrics that are not compared, with the reason, where it is not the whole outcome's."""
    return dict(comparison.not_comparable) if comparison.metrics else {}


def title(metric: str) -> str:
    """The title of a metric, of GenEval with what is in brackets."""
    return metric.replace("geneval", "GenEval") if kind_of(metric) == "geneval" else title_of(metric)


def row_cells(one: MetricComparison, row: ComparisonRow) -> tuple[str, ...]:
    """Steps, A, B, B - A, its interval and p."""
    first, second = row.values
    return (
        str(row.steps),
        number(first, one.unit, row.overall),
        number(second, one.unit, row.overall),
        number(row.overall.delta, one.unit, row.overall, sign="+"),
        _interval(row.overall, one.unit),
        cells.DASH if row.p_adjusted is None else f"{row.p_adjusted:.2g}",
    )


def number(value: float | None, unit: Unit, beside: Difference, *, sign: str = "") -> str:
    """A value: shares in per cent, others to two digits of half the interval beside it."""
    if value is None:
        return cells.DASH
    if unit == "share":
        return f"{100 * value:{sign}.1f}"
    decimals = cells.two_digits(Z_TWO_SIDED * beside.se if beside.se else value)
    return f"{value:{sign}.{decimals}f}"


def _interval(difference: Difference, unit: Unit) -> str:
    if difference.ci is None:
        return cells.DASH
    low, high = (number(end, unit, difference, sign="+") for end in difference.ci)
    return f"[{low}, {high}]"


def _with_half_width(difference: Difference, unit: Unit) -> str:
    """A difference and half of its interval, which is shorter where many metrics share a table."""
    delta = number(difference.delta, unit, difference, sign="+")
    if difference.ci is None:
        return delta if difference.delta is None else f"{delta} ±?"
    return f"{delta} ±{number((difference.ci[1] - difference.ci[0]) / 2, unit, difference)}"


def _table(metrics: Sequence[MetricComparison], *, wide: bool) -> Table:
    table = Table(box=box.HORIZONTALS, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    is_single = len(metrics) == 1
    values = ("A", "B") if wide else ()
    interval = ("95 % interval",) if is_single else ()
    for heading in ("metric", "steps", *values, "B - A", *interval, "p", ""):
        table.add_column(heading, justify="left" if heading in {"metric", ""} else "right", no_wrap=True)
    for one in metrics:
        for place, row in enumerate(one.rows):
            steps, *both, delta, ends, p = row_cells(one, row)
            table.add_row(
                "" if place else title(one.metric),
                steps,
                *(both if wide else ()),
                *((delta, ends) if is_single else (_with_half_width(row.overall, one.unit),)),
                p,
                Text(WORDS[row.outcome], style=_COLORS[row.outcome]),
                end_section=place == len(one.rows) - 1,
            )
    return table


def _task_table(rows: Sequence[ComparisonRow]) -> Table:
    table = Table(box=box.HORIZONTALS, show_edge=False, padding=0)
    table.add_column("steps", justify="right", no_wrap=True)
    for task in TASKS:
        table.add_column(cells.SHORT_TASKS[task], justify="right", overflow="fold")
    for row in rows:
        marks = (cells.signed_points(row.tasks[task]) if task in row.tasks else cells.DASH for task in TASKS)
        table.add_row(str(row.steps), *marks)
    return table
