from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from selfe_eval.report import cells
from selfe_eval.report.details import print_details
from selfe_eval.report.reasons import REASON_KINDS
from selfe_eval.report.scored_run import ScoredRun
from selfe_eval.report.summary import Summary

MakeRun = Callable[..., ScoredRun]


def rendered(summary: Summary, width: int) -> str:
    """The details as plain text."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_details(summary, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(("width", "num_tables"), [(60, 3), (80, 2), (140, 1)])
def test_every_number_is_whole_at_any_width(rising: Summary, width: int, num_tables: int) -> None:
    """Tables break between their groups of columns, lines fit the terminal, and no number is cut."""
    every_reason = {kind: 1000 + number for number, kind in enumerate(REASON_KINDS)}
    rows = tuple(replace(row, reasons=every_reason) for row in rising.rows)
    text = rendered(replace(rising, rows=rows), width)

    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert text.count("steps") == num_tables
    for row in rows:
        assert all(cells.value_and_half_width(share) in text for share in row.per_prompt.values())
        assert all(str(count) in text for count in row.reasons.values())


def test_the_range_is_that_of_the_overall_score(rising: Summary) -> None:
    """Each threshold's column gives the lowest and highest overall score over the thresholds in its heading."""
    text = rendered(rising, 140)

    assert "T 0.2-0.35" in text
    assert "Tc 0.8-0.95" in text
    for row in rising.rows:
        assert row.sensitivity is not None
        for curve in (row.sensitivity.confidence, row.sensitivity.counting):
            values = [100 * (score.overall or 0.0) for score in curve]
            assert f"{min(values):.1f}-{max(values):.1f}" in text
        assert "10/320" in text


@pytest.mark.parametrize(("share", "num_alarms"), [(0.94, 0), (0.95, 1)])
def test_a_detector_that_sees_nothing_is_pointed_at(rising: Summary, share: float, num_alarms: int) -> None:
    """Where 95 % of the images have no detection the reader is sent to doctor; a healthy run says nothing of it."""
    blind, *others = rising.rows
    blind = replace(blind, num_empty=math.ceil(share * blind.overall.n))

    assert "doctor" not in rendered(rising, 140)
    assert rendered(replace(rising, rows=(blind, *others)), 200).count("nothing was detected") == num_alarms


def test_only_reasons_that_occur_have_a_column(rising: Summary) -> None:
    """A kind of fault that no image has takes no room."""
    heading = next(line for line in rendered(rising, 140).splitlines() if "steps" in line)

    assert "too few" in heading
    assert "posn" not in heading


def test_what_is_not_known_is_not_shown(make_run: MakeRun) -> None:
    """Without a scored image there are dashes and no zero, and no column for thresholds."""
    text = rendered(make_run({4: 0.5}, unscored=960).summary, 140)
    row = next(line for line in text.splitlines() if line.lstrip().startswith("4"))

    assert row.split() == ["4", "-", "-", "-", "0/0", "960"]
    assert "T 0" not in text


def test_a_perfect_run_has_no_reasons(make_run: MakeRun) -> None:
    """Where nothing failed there is no column of reasons."""
    assert "faults" not in rendered(make_run({4: 1.1}).summary, 140)
