from __future__ import annotations

import json

import pytest

from selfe_eval.records import TASKS
from selfe_eval.report.published import featured_rows, published_rows
from selfe_eval.resources import published_dir

PAPER = "self_e_2512.22374.json"
ROUNDING = 1.5e-4
"""Printed to four places; the smallest shares are themselves printed to three."""


def test_every_printed_average_is_that_of_its_tasks_but_one() -> None:
    """Recomputing each overall of Table 1 finds exactly the contradiction that the errata record."""
    wrong = [
        (row.model, row.steps)
        for row in published_rows()
        if abs(sum(row.tasks[task] for task in TASKS) / 6 - row.overall) > ROUNDING
    ]

    assert wrong == [("SANA-1.5", 2)]
    assert [(row.model, row.steps) for row in published_rows() if row.erratum] == wrong


def test_the_erratum_restores_the_average() -> None:
    """With the implied figure the contradictory row averages to its printed overall."""
    document = json.loads((published_dir() / PAPER).read_bytes())
    (erratum,) = document["errata"]
    (row,) = (
        r for r in document["table1"] if (r["model"], r["steps"]) == (erratum["model"], erratum["steps"])
    )
    assert row["tasks"][erratum["column"]] == erratum["printed"]
    corrected = {**row["tasks"], erratum["column"]: erratum["implied_by_overall"]}

    assert sum(corrected.values()) / 6 == pytest.approx(row["overall"], abs=ROUNDING)


def test_table_1_is_whole() -> None:
    """Eight models at 2, 4, 8 and 50 steps, each with six tasks and a citation, grouped by model."""
    rows = published_rows()

    assert [row.steps for row in rows] == [2, 4, 8, 50] * 8
    assert len({row.model for row in rows}) == 8
    assert all(set(row.tasks) == set(TASKS) for row in rows)
    assert {row.reference for row in rows} == {"arXiv 2512.22374v1, Table 1"}


def test_table_2_has_six_rows_of_four_step_counts() -> None:
    """The ablations are kept as data: overall scores only."""
    document = json.loads((published_dir() / PAPER).read_bytes())

    assert [sorted(row["overall"], key=int) for row in document["table2"]] == [["2", "4", "8", "50"]] * 6


def test_two_models_are_featured() -> None:
    """Below a single run stand the paper's model and one peer, at all four step counts."""
    assert [(row.model, row.steps) for row in featured_rows()] == [
        (model, steps) for model in ("FLUX.1-dev", "Self-E") for steps in (2, 4, 8, 50)
    ]
