"""The leaderboard in a terminal: measured rows with intervals, below a rule what papers print, and verdicts.

Runs that were not measured alike (another metric, suite or scorer) never share a table. Ranks have ties (`ranks`).
Published rows are dimmed, carry a dagger and no interval, and are never ranked.
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
from selfe_eval.report.entry import Entry, Scored, measured_alike
from selfe_eval.report.libraries import library_note
from selfe_eval.report.published import PublishedRow, source_marks
from selfe_eval.report.sentences import verdict_sentence, verdict_word
from selfe_eval.report.summary import METRIC, Row, Summary
from selfe_eval.suites.rewritten import is_rewritten

WIDE_COLUMNS = 118
"""From this width on tasks carry their own intervals, and the overall score a bar."""

NARROW_COLUMNS = 78
"""Below this width the tasks get a table of their own; with ranks there has to be more."""

RANK_COLUMNS = 7
"""What ranks take."""

VERDICT_STYLES = {"monotone": "bold green", "violated": "bold red", "inconclusive": "bold yellow"}
"""Color of each outcome."""


@dataclass(frozen=True, slots=True)
class _Column:
    heading: str
    measured: Callable[[Entry, Row], str]
    published: Callable[[PublishedRow], str]


def print_leaderboard(entries: Sequence[Entry], published: Sequence[PublishedRow], console: Console) -> None:
    """Write one table for each set of runs that were measured alike, with captions and verdicts.

    Args:
        entries: The measured runs, in the order to show them; those without GenEval's numbers are left out.
        published: Rows of papers, shown below a rule in the last table.
        console: Where to; its width chooses the layout.
    """
    groups = measured_alike(entries)
    for index, group in enumerate(groups):
        last = index == len(groups) - 1
        for line in _caption(group):
            console.print(line)
        for columns in _layout(console.width, group):
            console.print(_table(columns, group, published if last else ()))
        for _, summary in group:
            for line in _verdict_lines(summary):
                console.print(line)
        for line in _footnotes(published if last else ()):
            console.print(line)


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


RANK_NOTE = (
    "Rank: at one step count, models that share a letter are not shown to differ (paired by prompt and image, p below "
    "0.05 after Holm over all pairs of models there); the best has an a. Being tied is not being equal, so a model can "
    "have several letters, and there are no places."
)
"""What the letters say, and what they do not."""

REPRODUCED_NOTE = (
    "◇ reproduced: a paper prints this model at this step count; measured here with the settings that its authors name, "
    "which need not be the paper's."
)
"""What a reproduced row is."""

REPRODUCED = "◇"
"""Behind the step count of such a row."""


def group_notes(group: Sequence[Scored]) -> list[str]:
    """What one must know of a table: on what it was measured, what its ranks say or why there are none."""
    notes = [_seconds_note(group), library_note([(entry.model, entry.libraries) for entry, _ in group])]
    notes += [RANK_NOTE] if is_ranked(group) else []
    reasons = dict.fromkeys(entry.unranked for entry, _ in group if entry.unranked)
    for reason in reasons:
        models = dict.fromkeys(entry.model for entry, _ in group if entry.unranked == reason)
        notes.append(f"Not ranked: {', '.join(models)}: {reason}.")
    if any(entry.source(row.steps) == "reproduced" for entry, summary in group for row in summary.rows):
        notes.append(REPRODUCED_NOTE)
    return [note for note in notes if note]


def is_ranked(group: Sequence[Scored]) -> bool:
    """Whether any row of a table has a rank."""
    return any(entry.ranks for entry, _ in group)


def _seconds_note(group: Sequence[Scored]) -> str:
    """On what the seconds were measured; empty where no run says."""
    models: dict[str, list[str]] = {}
    for entry, _ in group:
        if entry.hardware:
            models.setdefault(entry.hardware, []).append(entry.model)
    if not models:
        return ""
    if len(models) == 1 and all(entry.hardware for entry, _ in group):
        return f"Seconds an image: drawing alone, median, on {next(iter(models))}."
    places = "; ".join(f"{', '.join(dict.fromkeys(names))} on {place}" for place, names in models.items())
    return f"Seconds an image: drawing alone, median; {places}. Other hardware, other seconds."


def steps_cell(entry: Entry, row: Row) -> str:
    """The step count, marked where a paper prints it of this model too."""
    return f"{row.steps} {REPRODUCED}" if entry.source(row.steps) == "reproduced" else str(row.steps)


def rank_cell(entry: Entry, row: Row) -> str:
    """The letters of a row, or a dash."""
    return entry.ranks.get(row.steps) or cells.DASH


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


def _caption(group: Sequence[Scored]) -> list[Text]:
    _, summary = group[0]
    lines = [Text(caption(summary)), *(Text(note, style="dim") for note in group_notes(group))]
    return [Text(PARTIAL_NOTE, style="bold red"), *lines] if summary.partial else lines


def _footnotes(published: Sequence[PublishedRow]) -> list[Text]:
    return [Text(note, style="dim") for note in published_note(published)]


def _layout(width: int, group: Sequence[Scored]) -> list[list[_Column]]:
    """The tables to print, each as its columns."""
    heading, ranked = score_heading(group[0][1]), is_ranked(group)
    steps = _Column("steps", steps_cell, published_steps)
    nfe = _Column("NFE", lambda _, row: cells.DASH if row.nfe is None else str(row.nfe), lambda _: "")
    overall = _Column(
        heading,
        lambda _, row: cells.value_and_half_width(row.overall),
        lambda row: cells.percent(row.overall),
    )
    rank = [_Column("rank", rank_cell, lambda _: "")] if ranked else []
    time = _Column("s/img", lambda _, row: cells.seconds(row.seconds_per_image), lambda _: "")
    images = _Column("n", lambda _, row: cells.images(row.overall), lambda _: "")
    tasks = [_task_column(task, wide=width >= WIDE_COLUMNS) for task in TASKS]
    if width < NARROW_COLUMNS + ranked * RANK_COLUMNS:
        return [[steps, nfe, overall, *rank, time, images], [steps, *tasks]]
    if width < WIDE_COLUMNS + ranked * RANK_COLUMNS:
        return [[steps, nfe, overall, *rank, *tasks, time, images]]
    bars = _Column("", lambda _, row: cells.bar(row.overall.value, 8), lambda row: cells.bar(row.overall, 8))
    return [[steps, nfe, overall, bars, *rank, *tasks, time, images]]


def _task_column(task: str, *, wide: bool) -> _Column:
    def measured(_: Entry, row: Row) -> str:
        if task not in row.tasks:
            return cells.DASH
        estimate = row.tasks[task]
        return cells.value_and_half_width(estimate) if wide else cells.percent(estimate.value)

    def published(row: PublishedRow) -> str:
        return cells.percent(row.tasks.get(task))

    return _Column(cells.SHORT_TASKS[task], measured, published)


def _table(columns: Sequence[_Column], group: Sequence[Scored], published: Sequence[PublishedRow]) -> Table:
    table = Table(box=box.HORIZONTALS, show_edge=False, padding=0)
    table.add_column("model", overflow="fold", min_width=8)
    for column in columns:
        left = column.heading in {"", "rank"}
        table.add_column(column.heading, justify="left" if left else "right", no_wrap=True)
    for entry, summary in group:
        for index, row in enumerate(summary.rows):
            name = Text(summary.model if index == 0 else "", style="bold")
            if summary.partial and index == 0:
                name.append(" PARTIAL", style="bold red")
            table.add_row(name, *(Text(column.measured(entry, row)) for column in columns))
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
