"""GenEval, FID and coverage against the step count, one panel for each group of variants: PNG files for the report."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from PIL import Image

from selfe_eval.report.reference.results import ABLATION, Results, variant_measures, variant_scores
from selfe_eval.stats.estimate import Estimate

PANELS = {
    "objectives": ("flow_matching", "imm", "meanflow", "shortcut", "self_e"),
    "Self-E, ablated": ("self_e", "self_e-convex", "self_e-eq16", "self_e-aux", "self_e-aux-late"),
    "beyond the paper": (
        "self_e",
        "self_e-later-s",
        "self_e-noise",
        "self_e-equal",
        "self_e-meanflow",
        "self_e-noise-eq16",
    ),
}
"""Title -> variants. self_e is in each, to compare with."""

_PLOTS = {
    "geneval": ("GenEval, per cent", 100.0),
    "fid": ("FID°, lower is better", 1.0),
    "coverage": ("coverage°, per cent", 100.0),
}
"""Name of the file -> label of the axis, and by what values are multiplied."""

_LOGARITHMIC = ("fid",)
"""Plots whose values span orders of magnitude."""

_COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00")
"""Okabe and Ito's, which the colour-blind can tell apart."""
_SELF_E = "#000000"
_MARKERS = "osD^v"
_SIZE_INCHES = (11.0, 3.6)
_DOTS = 110
"""An inch."""
_INKS = 64
"""So many colours are enough for lines, and make small files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A variant in a panel."""

    name: str
    """Of the variant."""
    points: Mapping[int, Estimate]
    """Step count -> estimate; those with a value."""


def write_figures(results: Results, folder: Path) -> list[Path]:
    """Draw what there is.

    Returns:
        The files written.
    """
    written = []
    for name, (label, scale) in _PLOTS.items():
        panels = {
            title: curves for title, members in PANELS.items() if (curves := _curves(results, name, members))
        }
        if panels:
            folder.mkdir(parents=True, exist_ok=True)
            written.append(folder / f"{name}.png")
            _draw(panels, label, scale, written[-1])
    return written


def _curves(results: Results, name: str, members: Sequence[str]) -> list[Curve]:
    found = [Curve(name=member, points=_points(results, name, member)) for member in members]
    return [curve for curve in found if curve.points]


def _points(results: Results, name: str, variant: str) -> dict[int, Estimate]:
    document = results.documents.get(ABLATION)
    if document is None:
        return {}
    if name == "geneval":
        found = {score.steps: score.overall for score in variant_scores(document).get(variant, ())}
    else:
        found = variant_measures(document, name).get(variant, {})
    return {steps: estimate for steps, estimate in found.items() if estimate.value is not None}


def _draw(panels: Mapping[str, Sequence[Curve]], label: str, scale: float, path: Path) -> None:
    with mpl.rc_context():
        mpl.rcdefaults()
        figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for place, (title, curves) in zip(axes, panels.items(), strict=True):
            _draw_panel(place, title, curves, scale)
        axes[0].set_ylabel(label)
        if path.stem in _LOGARITHMIC:
            axes[0].set_yscale("log")
            axes[0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes[0].yaxis.set_major_formatter("{x:g}")
            axes[0].yaxis.set_minor_locator(NullLocator())
        stream = io.BytesIO()
        figure.savefig(stream, dpi=_DOTS)
    Image.open(stream).convert("RGB").quantize(_INKS).save(path, optimize=True)


def _draw_panel(axes: Axes, title: str, curves: Sequence[Curve], scale: float) -> None:
    steps = sorted({count for curve in curves for count in curve.points})
    colors = iter(_COLORS)
    for number, curve in enumerate(curves):
        values = [scale * (estimate.value or 0.0) for estimate in curve.points.values()]
        reach = [_reach(estimate, scale) for estimate in curve.points.values()]
        axes.errorbar(
            list(curve.points),
            values,
            yerr=[list(side) for side in zip(*reach, strict=True)],
            label=curve.name,
            color=_SELF_E if curve.name == "self_e" else next(colors),
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=4,
            linewidth=1.4,
            capsize=2,
        )
    axes.set_title(title, fontsize=10)
    axes.set_xscale("log", base=2)
    axes.set_xticks(steps, list(map(str, steps)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("sampling steps")
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)


def _reach(estimate: Estimate, scale: float) -> tuple[float, float]:
    """How far the interval reaches below and above the value; not at all where there is none."""
    value = estimate.value or 0.0
    low, high = estimate.ci or (value, value)
    return max(0.0, scale * (value - low)), max(0.0, scale * (high - value))
