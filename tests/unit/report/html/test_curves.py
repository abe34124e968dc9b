from __future__ import annotations

from dataclasses import replace

import pytest

from selfe_eval.records import Suite
from selfe_eval.report.html.content import ShownRun
from selfe_eval.report.html.curves import Plot, pareto_front, plot_groups
from tests.unit.report.conftest import MakeRun
from tests.unit.report.html.shown import IDS, shown_run


def plots(*runs: ShownRun) -> dict[str, Plot]:
    return {plot.title: plot for group in plot_groups(runs) for plot in group.plots}


def test_the_front_is_what_nobody_beats() -> None:
    """A point is on the front unless one that costs no more is at least as good."""
    points = [(4, 60.0), (1, 50.0), (2, 40.0), (4, 55.0), (8, 60.0), (8, 61.0), (9, 61.0)]

    assert pareto_front(points) == ((1, 50.0), (4, 60.0), (8, 61.0))
    assert pareto_front([]) == ()


def test_quality_stands_against_every_cost(shown: ShownRun) -> None:
    """The points of a curve are the rows of the summary, in per cent, at their steps, NFE and seconds."""
    found = plots(shown)
    summary = shown.entry.summary
    assert summary is not None
    rows = summary.rows

    for cost, xs in {
        "steps": [row.steps for row in rows],
        "NFE": [row.nfe for row in rows],
        "seconds an image": [row.seconds_per_image for row in rows],
    }.items():
        (curve,) = found[f"GenEval (partial) against {cost}"].curves
        assert [point.x for point in curve.points] == xs
        assert [point.value for point in curve.points] == pytest.approx(
            [100 * (row.overall.value or 0) for row in rows]
        )


def test_runs_that_were_judged_otherwise_have_a_plot_of_their_own(
    suite: Suite, make_run: MakeRun, shown: ShownRun, other: ShownRun
) -> None:
    """Two curves share a plot where the runs were judged alike, and never where the scorer differs."""
    foreign = shown_run(suite, make_run({2: 0.5}, prompt_ids=IDS, scorer={"sha256": "8" * 64}))

    def against_steps(*runs: ShownRun) -> list[list[int]]:
        return [
            [curve.run for curve in plot.curves]
            for group in plot_groups(runs)
            for plot in group.plots
            if plot.title.endswith("against steps")
        ]

    assert against_steps(shown, other) == [[0, 1]]
    assert against_steps(shown, foreign, other) == [[0, 2], [1]]


def test_variety_stands_beside_quality(shown: ShownRun) -> None:
    """Spread has its place right after quality, and distances say that lower is better."""
    titles = [group.title for group in plot_groups([shown])]

    assert titles[:2] == ["Quality against cost", "Variety beside quality"]
    assert plots(shown)["FID° (partial)"].y_label == "distance, lower is better"
    assert plots(shown)["spread° (partial)"].y_label == "per cent"


def test_images_without_a_step_count_have_no_curve(suite: Suite, make_run: MakeRun) -> None:
    """Step count 0 stands for one that nobody said: it is left out, also of the logarithmic axis."""
    found = plots(shown_run(suite, make_run({0: 0.5}, prompt_ids=IDS)))

    assert not any("against steps" in title for title in found)


def test_what_is_not_known_is_left_out(shown: ShownRun) -> None:
    """Without seconds there is no plot against seconds."""
    summary = shown.entry.summary
    assert summary is not None
    rows = tuple(replace(row, seconds_per_image=None) for row in summary.rows)
    timeless = replace(shown, entry=replace(shown.entry, summary=replace(summary, rows=rows)))

    assert "GenEval (partial) against seconds an image" not in plots(timeless)
