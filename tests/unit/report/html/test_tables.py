from __future__ import annotations

from dataclasses import replace

from selfe_eval.report.html.content import ShownRun
from selfe_eval.report.html.tables import measure_tables, measure_verdicts, score_tables, verdicts


def test_the_verdict_is_that_of_the_first_metric(shown: ShownRun) -> None:
    """GenEval answers where it was measured, and else the first metric that has a direction."""
    (verdict,) = verdicts([shown])
    entry = replace(shown.entry, summary=None)
    (second,) = verdicts([replace(shown, entry=entry)])

    assert (verdict.about, verdict.outcome) == ("selfe-tiny, GenEval", "inconclusive")
    assert second.about == "selfe-tiny, clip-score[openmoji-clip]"


def test_scores_have_a_row_for_each_step_count(shown: ShownRun, other: ShownRun) -> None:
    """Runs that were judged alike share a table with intervals, stamped where they are partial."""
    (table,) = score_tables([shown, other])

    assert [row[:2] for row in table.rows] == [
        ("selfe-tiny PARTIAL", "2"),
        ("selfe-tiny PARTIAL", "8"),
        ("selfe-tiny PARTIAL", "50"),
        ("rival PARTIAL", "2"),
        ("rival PARTIAL", "8"),
    ]
    assert table.is_partial
    assert all("±" in row[3] for row in table.rows)
    assert {len(row) for row in table.rows} == {len(table.headings)}


def test_ranks_and_hardware_are_shown(shown: ShownRun, other: ShownRun) -> None:
    """Letters stand in a column of their own where runs are ranked, and the hardware of the seconds below the table."""
    ranked = replace(shown, entry=replace(shown.entry, ranks={2: "a", 8: "ab"}, hardware="cpu (2 threads)"))
    (table,) = score_tables([ranked, other])
    place = table.headings.index("rank")

    assert [row[place] for row in table.rows] == ["a", "ab", "-", "-", "-"]
    assert any("cpu (2 threads)" in note for note in table.notes)
    assert "rank" not in score_tables([shown])[0].headings


def test_metrics_of_one_run_share_a_table(shown: ShownRun) -> None:
    """A row for each step count, a column for each metric, and how each is computed below."""
    (table,) = measure_tables([shown])

    assert table.headings == ("steps", "NFE", "CLIP-score°", "FID°", "spread°")
    assert [row[0] for row in table.rows] == ["2", "8", "50"]
    assert table.notes


def test_metrics_of_several_runs_have_a_table_each(shown: ShownRun) -> None:
    """A row for each run; notes once, below the last table."""
    tables = measure_tables([shown, shown])

    assert [len(table.rows) for table in tables] == [2, 2, 2]
    assert [bool(table.notes) for table in tables] == [False, False, True]
    assert len(measure_verdicts([shown, shown])) == 4


def test_runs_without_other_metrics_have_no_such_table(other: ShownRun) -> None:
    """What was not measured has no heading."""
    assert measure_tables([other]) == []
