"""Plots drawn by matplotlib, the same bytes for the same numbers: no date, no random names, no settings of the user."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from selfe_eval.report.html.curves import Curve, Plot
from selfe_eval.report.html.svg import inline_svg

NUM_INKS = 8
"""So many runs differ in colour; after that colours come again, with other markers."""

_INK, _GRID = "#c000f0", "#c000f1"
_SERIES = tuple(f"#c0000{number}" for number in range(NUM_INKS))
_INKS = {_INK: "ink", _GRID: "grid"} | {color: f"s{number}" for number, color in enumerate(_SERIES)}
"""Colours that stand for names of the page's style; none of them is ever seen."""

_MARKERS = "osD^vPX*"
_SIZE_INCHES = (4.6, 3.0)
_PLACE = (0.18, 0.18, 0.79, 0.78)
"""Left, bottom, width and height of the axes, as shares of the picture."""

_AXIS_LETTERS = 40
"""So many letters fit the axis of cost."""

_MARGIN = 1.25
"""By how much the axis goes on beyond the first and the last cost."""

_NO_DATES = {"Date": None, "Creator": None, "Format": None, "Type": None}
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "selfe-eval",
    "text.parse_math": False,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "font.size": 11,
}


@lru_cache(maxsize=512)
def draw(plot: Plot, *, prefix: str) -> str:
    """A plot as an SVG element for a page.

    Args:
        plot: What to draw.
        prefix: Unique on the page.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        figure = Figure(figsize=_SIZE_INCHES)
        axes = figure.add_axes(_PLACE)
        _prepare(axes, plot)
        if plot.front:
            costs, values = zip(*plot.front, strict=True)
            axes.plot(costs, values, color=_INK, linestyle="--", linewidth=1, drawstyle="steps-post")
        for curve in plot.curves:
            _draw_curve(axes, curve)
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", transparent=True, metadata=_NO_DATES)
    return inline_svg(stream.getvalue(), prefix=prefix, label=described(plot), inks=_INKS)


def described(plot: Plot) -> str:
    """The curves in words."""
    words = []
    for curve in plot.curves:
        points = ", ".join(f"{point.value:.4g} at {point.x:.3g}" for point in curve.points)
        words.append(f"run {curve.run + 1}: {points}")
    return f"{plot.title}, {plot.y_label}, over {plot.x_label}; {'; '.join(words)}"


def _prepare(axes: Axes, plot: Plot) -> None:
    """Labels, grid and a logarithmic axis of cost with the costs themselves as ticks."""
    axes.grid(color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xscale("log", base=2)
    costs = sorted({point.x for curve in plot.curves for point in curve.points})
    ticks = _far_apart(costs)
    axes.set_xticks(ticks, list(map(_label, ticks)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(costs[0] / _MARGIN, costs[-1] * _MARGIN)
    axes.set_xlabel(plot.x_label)
    axes.set_ylabel(plot.y_label)


def _draw_curve(axes: Axes, curve: Curve) -> None:
    axes.errorbar(
        [point.x for point in curve.points],
        [point.value for point in curve.points],
        yerr=_reach(curve),
        color=_SERIES[curve.run % NUM_INKS],
        marker=_MARKERS[curve.run % len(_MARKERS)],
        markersize=5,
        linewidth=1.6,
        capsize=3,
    )


def _reach(curve: Curve) -> list[list[float]]:
    """How far each interval reaches below and above its value; not at all where there is none."""
    below, above = [], []
    for point in curve.points:
        low, high = point.interval or (point.value, point.value)
        below.append(max(0.0, point.value - low))
        above.append(max(0.0, high - point.value))
    return [below, above]


def _label(cost: float) -> str:
    """Counts as they are, seconds with two digits."""
    return f"{cost:.0f}" if cost == int(cost) else f"{cost:.2g}"


def _far_apart(costs: list[float]) -> list[float]:
    """Those of the costs whose labels do not touch on a logarithmic axis."""
    ticks: list[float] = []
    longest = max(len(_label(cost)) for cost in costs)
    least = (_MARGIN**2 * costs[-1] / costs[0]) ** ((longest + 1) / _AXIS_LETTERS)
    for cost in costs:
        if not ticks or cost >= ticks[-1] * least:
            ticks.append(cost)
    return ticks
