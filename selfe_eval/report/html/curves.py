"""The curves of a page as plain data: of which metric, over which cost, with which intervals, and who is on the front."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from selfe_eval.metrics import METRICS, Unit
from selfe_eval.records import TASKS
from selfe_eval.report.html.content import ShownRun, scored_alike
from selfe_eval.report.leaderboard import score_heading
from selfe_eval.report.measures import MeasureRow
from selfe_eval.report.measures_board import measured_alike as measures_alike
from selfe_eval.report.measures_text import DIVERSITY, title_of
from selfe_eval.report.summary import Row
from selfe_eval.stats.estimate import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One step count of a curve."""

    x: float
    """The cost."""
    steps: int
    """Which step count it is."""
    value: float
    """As shown: shares in per cent."""
    interval: tuple[float, float] | None
    """95 %, in the same unit; None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A run in a plot."""

    run: int
    """Which of the runs of the page; decides its colour and its marker."""
    points: tuple[Point, ...]
    """By ascending step count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A picture with one or several curves."""

    title: str
    """What is shown, over what."""
    x_label: str
    """The cost and its unit."""
    y_label: str
    """The unit, and which way is better."""
    curves: tuple[Curve, ...]
    """One for each run that has this metric."""
    front: tuple[tuple[float, float], ...] = ()
    """The Pareto front, by ascending cost; empty where none is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotGroup:
    """Plots under one heading."""

    title: str
    """The heading."""
    note: str
    """What a reader should know; may be empty."""
    plots: tuple[Plot, ...]
    """In order."""


_COSTS = ("steps", "NFE", "seconds an image")
_ARROWS = {True: "higher is better", False: "lower is better", None: ""}


def plot_groups(runs: Sequence[ShownRun]) -> list[PlotGroup]:
    """Every curve of these runs; runs that were not measured alike never share a plot."""
    quality, tasks = _geneval_plots(runs)
    diversity, others = _measure_plots(runs)
    groups = [
        PlotGroup(
            title="Quality against cost",
            note="Bars are 95 % intervals. The dashed line is the Pareto front: no run of this page is better at "
            "the same cost. NFE counts network evaluations an image.",
            plots=tuple(quality),
        ),
        PlotGroup(
            title="Variety beside quality",
            note="Few-step models lose modes before they lose quality.",
            plots=tuple(diversity),
        ),
        PlotGroup(title="Tasks", note="", plots=tuple(tasks)),
        PlotGroup(title="Other metrics", note="", plots=tuple(others)),
    ]
    return [group for group in groups if group.plots]


def pareto_front(points: Iterable[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """The points (cost, value) that no other one beats: cheaper or equal, and better.

    >>> pareto_front([(1, 50.0), (2, 40.0), (4, 60.0), (4, 55.0)])
    ((1, 50.0), (4, 60.0))
    """
    front: list[tuple[float, float]] = []
    for cost, value in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or value > front[-1][1]:
            front.append((cost, value))
    return tuple(front)


def _geneval_plots(runs: Sequence[ShownRun]) -> tuple[list[Plot], list[Plot]]:
    quality: list[Plot] = []
    tasks: list[Plot] = []
    for group in scored_alike(runs):
        first = group[0].summary
        heading = f"{score_heading(first)}{' (partial)' if first.partial else ''}"
        for cost in _COSTS:
            curves = _curves(
                (one.number, [(row, row.overall) for row in one.summary.rows], cost) for one in group
            )
            shown = [(point.x, point.value) for curve in curves for point in curve.points]
            front = pareto_front(shown) if cost != "steps" else ()
            if curves:
                quality.append(_plot(f"{heading} against {cost}", cost, "share", True, curves, front))
        for task in TASKS:
            curves = _curves(
                (
                    one.number,
                    [(row, row.tasks[task]) for row in one.summary.rows if task in row.tasks],
                    "steps",
                )
                for one in group
            )
            if curves:
                tasks.append(_plot(f"{heading}: {task}", "steps", "share", True, curves))
    return quality, tasks


def _measure_plots(runs: Sequence[ShownRun]) -> tuple[list[Plot], list[Plot]]:
    places = {id(run.entry.measures): number for number, run in enumerate(runs) if run.entry.measures}
    diversity: list[Plot] = []
    others: list[Plot] = []
    for group in measures_alike([run.entry.measures for run in runs if run.entry.measures]):
        one = group[0][1]
        curves = _curves(
            (places[id(own)], [(row, row.overall) for row in measure.rows], "steps") for own, measure in group
        )
        better = None if METRICS[one.kind].delta is None else one.higher_is_better
        title = f"{title_of(one.metric)}{' (partial)' if group[0][0].partial else ''}"
        if curves:
            plots = diversity if one.kind in DIVERSITY else others
            plots.append(_plot(title, "steps", one.unit, better, curves))
    return diversity, others


def _plot(
    title: str,
    cost: str,
    unit: Unit,
    better: bool | None,  # noqa: FBT001 - a direction, not a switch
    curves: tuple[Curve, ...],
    front: tuple[tuple[float, float], ...] = (),
) -> Plot:
    units = {"share": "per cent", "points": "points", "distance": "distance"}
    label = ", ".join(word for word in (units[unit], _ARROWS[better]) if word)
    scale = 100.0 if unit == "share" else 1.0
    scaled = tuple(
        Curve(run=curve.run, points=tuple(_scaled(point, scale) for point in curve.points))
        for curve in curves
    )
    return Plot(
        title=title,
        x_label=cost,
        y_label=label,
        curves=scaled,
        front=tuple((x, value * scale) for x, value in front),
    )


def _scaled(point: Point, scale: float) -> Point:
    low_high = point.interval
    return Point(
        x=point.x,
        steps=point.steps,
        value=point.value * scale,
        interval=None if low_high is None else (low_high[0] * scale, low_high[1] * scale),
    )


def _curves(
    found: Iterable[tuple[int, Sequence[tuple[Row | MeasureRow, Estimate]], str]],
) -> tuple[Curve, ...]:
    curves = []
    for number, rows, cost in found:
        points = tuple(
            Point(x=x, steps=row.steps, value=estimate.value, interval=estimate.ci)
            for row, estimate in rows
            if estimate.value is not None and (x := _cost(row, cost)) is not None
        )
        if points:
            curves.append(Curve(run=number, points=points))
    return tuple(curves)


def _cost(row: Row | MeasureRow, cost: str) -> float | None:
    """What stands on the axis; None where it is not known, as for found images whose step count nobody said."""
    known = {"steps": row.steps, "NFE": row.nfe, "seconds an image": row.seconds_per_image}[cost]
    return known or None
