from __future__ import annotations

import json

import pytest

from selfe_eval.records import TASKS
from selfe_eval.report.published import PublishedRow, featured_rows, published_rows, source_marks
from selfe_eval.resources import published_dir

PAPER = "self_e_2512.22374.json"
TABLE_1, README = "arXiv 2512.22374v1, Table 1", "djghosh13/geneval, README"
ROUNDING = {TABLE_1: 1.5e-4, README: 0.01 + 1e-9}
"""Table 1 is printed to four places, its smallest shares to three; the README to two: half a unit of the tasks and half
a unit of the overall."""


def gap(row: PublishedRow) -> float:
    """The average of the printed tasks minus the printed average."""
    return sum(row.tasks[task] for task in TASKS) / 6 - row.overall


def test_every_printed_average_is_that_of_its_tasks_but_one() -> None:
    """Recomputing each overall of both sources finds exactly the contradiction that the errata record."""
    wrong = [(row.model, row.steps) for row in published_rows() if abs(gap(row)) > ROUNDING[row.reference]]

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

    assert sum(corrected.values()) / 6 == pytest.approx(row["overall"], abs=ROUNDING[TABLE_1])


def test_table_1_is_whole() -> None:
    """Eight models at 2, 4, 8 and 50 steps, each with six tasks and a citation, grouped by model."""
    rows = [row for row in published_rows() if row.reference == TABLE_1]

    assert [row.steps for row in rows] == [2, 4, 8, 50] * 8
    assert len({row.model for row in rows}) == 8
    assert all(set(row.tasks) == set(TASKS) for row in rows)


def test_the_readme_of_geneval_is_whole() -> None:
    """Six models with six tasks, to two places; what is not a diffusion model has no step count."""
    rows = [row for row in published_rows() if row.reference == README]

    assert [(row.model, row.steps) for row in rows] == [
        ("CLIP retrieval", None),
        ("minDALL-E", None),
        ("SD v1.5", 50),
        ("SD v2.1", 50),
        ("SDXL", 50),
        ("IF-XL", 50),
    ]
    assert all(set(row.tasks) == set(TASKS) for row in rows)
    assert all(round(share, 2) == share for row in rows for share in (row.overall, *row.tasks.values()))


def test_what_rounding_explains_is_a_note() -> None:
    """One average of the README is further off than its own rounding, within that of the tasks: a note says so."""
    noted = [row for row in published_rows() if row.note]
    odd = [row for row in published_rows() if row.reference == README and abs(gap(row)) > 0.005 + 1e-9]

    assert noted == odd
    assert [(row.model, round(gap(row), 4)) for row in noted] == [("SDXL", 0.0067)]
    assert "0.5567" in noted[0].note


def test_every_source_has_a_mark() -> None:
    """Rows of two sources never carry the same mark."""
    marks = source_marks(published_rows())

    assert marks == {TABLE_1: "†", README: "§"}


def test_table_2_has_six_rows_of_four_step_counts() -> None:
    """The ablations are kept as data: overall scores only."""
    document = json.loads((published_dir() / PAPER).read_bytes())

    assert [sorted(row["overall"], key=int) for row in document["table2"]] == [["2", "4", "8", "50"]] * 6


def test_two_models_are_featured() -> None:
    """Below a single run stand the paper's model and one peer, at all four step counts."""
    assert [(row.model, row.steps) for row in featured_rows()] == [
        (model, steps) for model in ("FLUX.1-dev", "Self-E") for steps in (2, 4, 8, 50)
    ]
