"""The leaderboard in a terminal: measured rows with intervals, below a rule what papers print, and verdicts.

Nothing is ranked. Runs that were not measured alike (another metric, suite or scorer) never share a
table. Published rows are dimmed, carry a dagger and no interval.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from selfe_eval.records import TASKS
from selfe_eval.report import cells
from selfe_eval.report.published import PublishedRow, source_marks
from selfe_eval.report.sentences import verdict_sentence, verdict_word
from selfe_eval.report.summary import METRIC, Row, Summary
from selfe_eval.suites.rewritten import is_rewritten

WIDE_COLUMNS = 118
"""From this width on tasks carry their own intervals, and the overall score a bar."""

NARROW_COLUMNS = 78
"""Below this width the tasks get a table of their own."""

VERDICT_STYLES = {"monotone": "bold green", "violated": "bold red", "inconclusive": "bold yellow"}
"""Color of each outcome."""


@dataclass(frozen=True, slots=True)
class _Column:
    heading: str
    measured: Callable[[Row], str]
    published: Callable[[PublishedRow], str]


def print_leaderboard(
    summaries: Sequence[Summary], published: Sequence[PublishedRow], console: Console
) -> None:
    """Write one table for each set of runs that were measured alike, with captions and verdicts.

    Args:
        summaries: The measured runs, in the order to show them.
        published: Rows of papers, shown below a rule in the last table.
        console: Where to; its width chooses the layout.
    """
    groups = measured_alike(summaries)
    for index, group in enumerate(groups):
        last = index == len(groups) - 1
        for line in _caption(group[0]):
            console.print(line)
        for columns in _layout(console.width, score_heading(group[0])):
            console.print(_table(columns, group, published if last else ()))
        for summary in group:
            for line in _verdict_lines(summary):
                console.print(line)
        for line in _footnotes(published if last else ()):
            console.print(line)


def measured_alike(summaries: Sequence[Summary]) -> list[list[Summary]]:
    """The runs by metric, suite, scorer and completeness, in order of first appearance."""
    groups: dict[tuple[str | bool, ...], list[Summary]] = {}
    for summary in summaries:
        key = (summary.metric, summary.suite, summary.suite_sha256, summary.scorer_sha256, summary.partial)
        groups.setdefault(key, []).append(summary)
    return list(groups.values())


def caption(summary: Summary) -> str:
    """What the numbers of this run and its like are, and what they are not."""
    is_official = summary.metric == METRIC
    text = (
        f"{'GenEval' if is_official else summary.metric} on the suite {summary.suite} "
        f"({summary.suite_sha256[:8]}), judged by the detector {summary.detector} "
        f"({summary.scorer_sha256[:8]}): per cent of images correct, mean over six tasks. "
        "± is half of a 95 % interval, clustered by prompt."
    )
    if not is_official:
        text += " The judge is not GenEval's own: compare with nothing published as GenEval."
    if is_rewritten(summary.suite):
        text += " The prompts are rewritten: compare with no score of the official ones."
    return text


def score_heading(summary: Summary) -> str:
    """Heading of the column of overall scores: only the metric itself is called GenEval."""
    return "GenEval" if summary.metric == METRIC else "score"


PARTIAL_NOTE = (
    "PARTIAL: prompts were left out or images are missing. No score of the suite; compare with nothing."
)
"""The stamp of a partial run."""


def published_note(published: Sequence[PublishedRow]) -> list[str]:
    """The footnotes that published rows need."""
    notes = [
        f"{mark} published ({source}), not measured here: on GenEval's own suite and detector, no interval, never ranked."
        for source, mark in source_marks(published).items()
    ]
    errata = [f"‡ {row.model} at {row.steps} steps: {row.erratum}." for row in published if row.erratum]
    return notes + errata


def published_name(row: PublishedRow, mark: str) -> str:
    """The model with the mark of its source, and that of an erratum."""
    return f"{row.model} {mark}{'‡' if row.erratum else ''}"


def published_steps(row: PublishedRow) -> str:
    """The step count, or a dash for what has none."""
    return cells.DASH if row.steps is None else str(row.steps)


def _caption(summary: Summary) -> list[Text]:
    lines = [Text(caption(summary))]
    return [Text(PARTIAL_NOTE, style="bold red"), *lines] if summary.partial else lines


def _footnotes(published: Sequence[PublishedRow]) -> list[Text]:
    return [Text(note, style="dim") for note in published_note(published)]


def _layout(width: int, heading: str) -> list[list[_Column]]:
    """The tables to print, each as its columns."""
    steps = _Column("steps", lambda row: str(row.steps), published_steps)
    nfe = _Column("NFE", lambda row: cells.DASH if row.nfe is None else str(row.nfe), lambda _: "")
    overall = _Column(
        heading, lambda row: cells.value_and_half_width(row.overall), lambda row: cells.percent(row.overall)
    )
    time = _Column("s/img", lambda row: cells.seconds(row.seconds_per_image), lambda _: "")
    images = _Column("n", lambda row: cells.images(row.overall), lambda _: "")
    tasks = [_task_column(task, wide=width >= WIDE_COLUMNS) for task in TASKS]
    if width < NARROW_COLUMNS:
        return [[steps, nfe, overall, time, images], [steps, *tasks]]
    if width < WIDE_COLUMNS:
        return [[steps, nfe, overall, *tasks, time, images]]
    bars = _Column("", lambda row: cells.bar(row.overall.value, 8), lambda row: cells.bar(row.overall, 8))
    return [[steps, nfe, overall, bars, *tasks, time, images]]


def _task_column(task: str, *, wide: bool) -> _Column:
    def measured(row: Row) -> str:
        if task not in row.tasks:
            return cells.DASH
        estimate = row.tasks[task]
        return cells.value_and_half_width(estimate) if wide else cells.percent(estimate.value)

    def published(row: PublishedRow) -> str:
        return cells.percent(row.tasks.get(task))

    return _Column(cells.SHORT_TASKS[task], measured, published)


def _table(columns: Sequence[_Column], group: Sequence[Summary], published: Sequence[PublishedRow]) -> Table:
    table = Table(box=box.HORIZONTALS, show_edge=False, padding=0)
    table.add_column("model", overflow="fold", min_width=8)
    for column in columns:
        left = column.heading == ""
        table.add_column(column.heading, justify="left" if left else "right", no_wrap=True)
    for summary in group:
        for index, row in enumerate(summary.rows):
            name = Text(summary.model if index == 0 else "", style="bold")
            if summary.partial and index == 0:
                name.append(" PARTIAL", style="bold red")
            table.add_row(name, *(Text(column.measured(row)) for column in columns))
    table.add_section()
    marks = source_marks(published)
    previous = ("", "")
    for printed in published:
        own = (printed.reference, printed.model)
        is_named = own != previous or printed.erratum
        name = Text(published_name(printed, marks[printed.reference]) if is_named else "")
        previous = own
        table.add_row(name, *(Text(column.published(printed)) for column in columns), style="dim")
    return table


def _verdict_lines(summary: Summary) -> list[Text]:
    line = Text(f"{summary.model}: ")
    line.append(verdict_word(summary), style=VERDICT_STYLES[summary.verdict.outcome])
    line.append(f": {verdict_sentence(summary)}")
    notes = [note for note in (held_out_sentence(summary), unscored_sentence(summary)) if note]
    return [line, *(Text(f"  {note}") for note in notes)]


def held_out_sentence(summary: Summary) -> str:
    """Scores of seen and held-out combinations at the last step count; empty where there is no such split."""
    last = summary.rows[-1]
    if last.seen is None or last.unseen is None:
        return ""
    return (
        f"Combinations held out of training, at {last.steps} steps: "
        f"{cells.value_and_half_width(last.unseen)}, against {cells.value_and_half_width(last.seen)} for the "
        "others in the same tasks."
    )


def unscored_sentence(summary: Summary) -> str:
    """How many planned images have no score; empty where all have one."""
    unscored = sum(row.overall.n_unscored for row in summary.rows)
    if not unscored:
        return ""
    return f"* {unscored} planned images have no score; they are left out, not counted as wrong."
