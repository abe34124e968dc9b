"""The metrics of runs as people and programs read them: terminal, markdown, CSV, JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from selfe_eval.report.as_csv import leaderboard_csv
from selfe_eval.report.as_json import leaderboard_document, measures_document, sweep_document
from selfe_eval.report.cells import DASH, in_unit
from selfe_eval.report.entry import Entry
from selfe_eval.report.measures import MeasureSet
from selfe_eval.report.measures_board import board_notes, boards
from selfe_eval.report.measures_markdown import entries_markdown, measures_markdown, sweep_markdown
from selfe_eval.report.measures_table import print_measures, print_sweep
from selfe_eval.report.published import published_rows
from selfe_eval.report.published_ablations import published_ablations
from selfe_eval.report.sentences import claim_sentence, claim_word, measure_claim
from selfe_eval.report.summary import Summary
from selfe_eval.stats.estimate import Estimate

MakeMeasures = Callable[..., MeasureSet]
EVERYTHING = ("clip-score", "spread", "fid", "kid", "cmmd", "precision", "recall", "density", "coverage")


def rendered(show: Callable[[Console], None], width: int) -> str:
    """What is printed, as plain text."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    show(console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def sweep(
    summary: Summary | None, measures: MeasureSet | None, width: int, reasons: Mapping[str, str] | None = None
) -> str:
    return rendered(lambda console: print_sweep(summary, measures, reasons or {}, console), width)


def heads(text: str) -> list[list[str]]:
    """The headings of each table of a sweep."""
    return [re.split(r"\s{1,}", line.strip()) for line in text.splitlines() if line.startswith("steps ")]


@pytest.mark.parametrize("width", range(40, 136, 5))
def test_every_number_of_a_sweep_is_whole_at_any_width(
    rising: Summary, swept: MeasureSet, width: int
) -> None:
    """No line is wider than the terminal, nothing is cut, and each metric has its value at each step count."""
    lines = sweep(rising, swept, width).splitlines()
    cells = [re.split(r"\s{2,}", line.strip()) for line in lines]

    assert max(map(len, lines)) <= width
    for measure in swept.measures:
        for row in measure.rows:
            assert any(in_unit(row.overall, measure.unit) in line for line in cells)


def test_a_sweep_at_80_columns_is_two_tables(rising: Summary, swept: MeasureSet) -> None:
    """Quality first, variety beside quality second; each begins with steps and evaluations."""
    quality, diversity = heads(sweep(rising, swept, 80))

    assert quality == ["steps", "NFE", "GenEval", "CLIP-score°", "FID°", "KID°", "CMMD°"]
    assert diversity[:2] == ["steps", "NFE"]
    assert set(diversity[2:]) == {"precision°", "recall°", "density°", "coverage°", "spread°"}


def test_what_fits_is_one_table(rising: Summary, swept: MeasureSet) -> None:
    """A wide terminal shows all metrics of a step count in one line."""
    (headings,) = heads(sweep(rising, swept, 160))

    assert len(headings) == 2 + 1 + len(EVERYTHING)


def test_each_metric_but_spread_has_a_verdict(rising: Summary, swept: MeasureSet) -> None:
    """One line a metric, with the word and the bounds in its own units; no direction is better for spread."""
    lines = sweep(rising, swept, 400).splitlines()
    verdicts = [line for line in lines if re.match(r"\S+: (MONOTONE|VIOLATED|INCONCLUSIVE)", line)]

    assert [line.split(":")[0] for line in verdicts] == [
        *("GenEval", "CLIP-score°", "FID°", "KID°", "CMMD°", "precision°", "recall°", "density°", "coverage°")
    ]
    assert verdicts[1].startswith(
        "CLIP-score°: MONOTONE (delta 0.50 points): quality never falls by more than"
    )
    assert "MONOTONE (delta 0.016)" in verdicts[2]


def test_notes_say_what_the_numbers_are(rising: Summary, swept: MeasureSet) -> None:
    """Extractor and hash of its weights, reference, n, the metric's own notes, and what was left out and why."""
    text = sweep(rising, swept, 1000, {"fd-dinov2": "its weights are missing"})

    assert "features of openmoji-clip (weights a1b2c3d4), n = 960 images of 240 prompts." in text
    assert (
        "FID°, KID°, CMMD°, precision°, recall°, density°, coverage°: against the reference 0f1e2d3c, 1106"
        in text
    )
    assert "Few images." in text
    assert (
        "CLIP-score° (clip-score[openmoji-clip]): in points, higher is better, protocol default, scale 100, clamp image."
        in text
    )
    assert "fd-dinov2 is not measured: its weights are missing" in text
    assert "° made with another extractor or protocol than published numbers" in text


def test_one_side_may_be_missing(rising: Summary, swept: MeasureSet) -> None:
    """GenEval alone and the other metrics alone are sweeps too."""
    assert heads(sweep(rising, None, 80)) == [["steps", "NFE", "GenEval"]]
    assert heads(sweep(None, swept, 80))[0][:3] == ["steps", "NFE", "CLIP-score°"]


def test_the_published_name_is_for_the_published_protocol(make_measures: MakeMeasures) -> None:
    """With the extractor of published numbers the heading has no mark, and two of a kind their full names."""
    both = make_measures(sets={"fid[inception]": {1: 9.0, 50: 3.0}, "fid": {1: 9.0, 50: 3.0}})

    assert heads(sweep(None, both, 100)) == [["steps", "NFE", "fid", "fid[openmoji-clip]"]]
    assert heads(sweep(None, make_measures(sets={"fid[inception]": {1: 9.0}}), 80)) == [
        ["steps", "NFE", "FID"]
    ]


def test_partial_runs_are_stamped(make_measures: MakeMeasures) -> None:
    """A partial run says so above its numbers, and on a leaderboard beside its name."""
    partial = make_measures(clip={4: 20.0, 8: 21.0}, prompt_ids=tuple(range(60)))
    board = rendered(lambda console: print_measures([partial], console), 80)

    assert sweep(None, partial, 80).startswith("PARTIAL")
    assert sweep_markdown(None, partial, {}).startswith("**PARTIAL")
    assert "selfe-tiny PARTIAL" in board
    assert board.strip().startswith("PARTIAL")


def test_missing_numbers_are_starred_or_dashed(swept: MeasureSet) -> None:
    """A star leads to the number of images without a number; where there is none there is a dash."""
    first = swept.measures[0]
    nothing = Estimate(value=None, se=None, ci=None, n=0, n_unscored=960, n_clusters=0)
    lone = replace(nothing, value=23.5, ci=(0.0, 100.0), n=1, n_unscored=0, n_clusters=1)
    rows = (
        replace(first.rows[0], overall=replace(first.rows[0].overall, n=957, n_unscored=3)),
        replace(first.rows[1], overall=nothing),
        replace(first.rows[2], overall=lone),
    )
    text = sweep(None, replace(swept, measures=(replace(first, rows=rows),)), 80)

    assert f"{in_unit(first.rows[0].overall, 'points')}*" in text
    assert f" {DASH}*" in text
    assert "23.5 ±?" in text
    assert "* 963 planned images have no number" in text


def test_too_few_groups_are_no_verdict(make_measures: MakeMeasures) -> None:
    """A metric of images speaks of prompts, one of sets of groups of them, one step count of itself."""
    few = make_measures(clip={1: 20.0, 50: 30.0}, sets={"fid": {1: 9.0, 50: 3.0}}, prompt_ids=(0, 1, 2))
    one = make_measures(clip={1: 20.0})
    clip = measure_claim(few.measures[0])
    fid = measure_claim(replace(few.measures[1], verdict=few.measures[0].verdict))
    single = measure_claim(one.measures[0])
    assert clip
    assert fid
    assert single

    assert claim_word(clip) == "INCONCLUSIVE"
    assert claim_sentence(clip) == "there are fewer than 30 prompts, too few for a verdict."
    assert claim_sentence(fid) == "there are fewer than 30 groups of prompts, too few for a verdict."
    assert "one step count is no curve" in claim_sentence(single)


def test_only_what_was_measured_alike_shares_a_board(make_measures: MakeMeasures) -> None:
    """Another extractor, suite, number of images or completeness is another table."""
    fid: dict[str, Any] = {"sets": {"fid": {1: 9.0, 50: 3.0}}}
    one = make_measures(**fid)
    twin = make_measures(**fid, model="twin", seed=1)
    others = [
        make_measures(**fid, extractor={"extractor": "openmoji-clip", "weights_sha256": "0" * 64}),
        make_measures(**fid, images=2),
        make_measures(**fid, prompt_ids=tuple(range(200))),
        replace(one, suite_sha256="6" * 64),
        replace(one, partial=True),
    ]

    assert [board.models.cells for board in boards([one, twin])] == [("selfe-tiny", "twin")]
    for other in others:
        assert len(boards([one, twin, other])) == 2


def test_boards_of_one_metric_are_told_apart(make_measures: MakeMeasures) -> None:
    """Two tables of one metric have numbers, and each note says which of them it is about; a common one is said once."""
    one = make_measures(sets={"fid": {1: 9.0, 50: 3.0}})
    other = make_measures(
        sets={"fid": {1: 9.0, 50: 3.0}}, extractor={"extractor": "openmoji-clip", "weights_sha256": "0" * 64}
    )
    found = boards([one, other, replace(one, partial=True)])
    notes = board_notes(found)

    assert [board.name for board in found] == ["FID° (1)", "FID° (2)", "FID° (3)"]
    assert [board.is_partial for board in found] == [False, False, True]
    assert any(
        note.startswith("FID° (1), FID° (3): features of openmoji-clip (weights a1b2") for note in notes
    )
    assert any(note.startswith("FID° (2): features of openmoji-clip (weights 0000") for note in notes)
    assert "All of these: Few images." in notes


@pytest.mark.parametrize("width", [60, 80, 130])
def test_a_board_has_a_row_for_each_model_and_fits(
    make_measures: MakeMeasures, swept: MeasureSet, width: int
) -> None:
    """Models are rows, step counts of any of them columns; a step count that one lacks is a dash."""
    other = make_measures(
        model="a-model-with-quite-a-long-name", sets={"kid": {4: 0.001, 8: 0.0005, 16: 0.0004}}
    )
    text = rendered(lambda console: print_measures([swept, other], console), width)
    (kid,) = [board for board in boards([swept, other]) if board.title.startswith("KID")]

    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert [column.heading for column in kid.steps] == [
        "2 steps",
        "4 steps",
        "8 steps",
        "16 steps",
        "50 steps",
    ]
    assert [column.cells[1] == DASH for column in kid.steps] == [True, False, False, False, True]
    for column in kid.steps:
        for text_of_cell in column.cells:
            assert text_of_cell in text


def test_boards_follow_the_table_of_metrics(swept: MeasureSet) -> None:
    """However runs were measured, GenEval's companions come in one order."""
    turned = replace(swept, measures=tuple(reversed(swept.measures)))

    assert [board.title.split()[0] for board in boards([turned])] == [
        *("CLIP-score°", "FID°", "KID°", "CMMD°", "precision°", "recall°", "density°", "coverage°", "spread°")
    ]


def test_markdown_tables_can_be_parsed(rising: Summary, swept: MeasureSet) -> None:
    """Every line of a table has as many cells as its heading, and the cells are those of the terminal."""
    entries = [Entry(run="a", summary=rising, measures=swept)]
    for text in (
        sweep_markdown(rising, swept, {"x": "y"}),
        measures_markdown([swept]),
        entries_markdown(entries, published_rows(), published_ablations()),
    ):
        tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
        assert tables
        for table in tables:
            assert len({line.count("|") for line in table}) == 1
        fid = swept.measures[2]
        assert all(f" {in_unit(row.overall, 'distance')} |" in text for row in fid.rows)
    assert text.endswith("\n")
    assert "\n\n\n" not in text
    assert "Flow Matching 0.5B" in text


def test_names_of_models_are_text_in_markdown(rising: Summary, swept: MeasureSet) -> None:
    """A name that holds a bar, a line end or HTML adds no cell, no line and no markup."""
    name = "a|b\n\n# <img src=x>"
    entries = [Entry(run="a", summary=replace(rising, model=name), measures=replace(swept, model=name))]
    for text in (
        sweep_markdown(entries[0].summary, entries[0].measures, {}),
        entries_markdown(entries, (), ()),
    ):
        assert "<img" not in text
        assert "\n# " not in text
        assert "a\\|b" in text


def test_csv_has_a_line_for_each_metric_and_step_count(rising: Summary, swept: MeasureSet) -> None:
    """Numbers read back exactly, in the metric's own units, with the run and the protocol they belong to."""
    entry = Entry(run="runs/a", summary=rising, measures=swept)
    rows = list(csv.DictReader(io.StringIO(leaderboard_csv([entry], (), published_ablations()))))
    measured = [row for row in rows if row["source"] == "measured"]
    expected = [(one, row) for one in swept.measures for row in one.rows]

    assert len(measured) == len(rising.rows) + len(expected)
    for line, (measure, row) in zip(measured[len(rising.rows) :], expected, strict=True):
        assert (line["metric"], int(line["steps"])) == (measure.metric, row.steps)
        assert float(line["value"]) == row.overall.value
        assert float(line["ci_low"]) == (row.overall.ci or (None,))[0]
        assert (line["protocol"], line["run_or_reference"]) == (measure.protocol_sha256, "runs/a")
        assert (line["colors"] != "") == (measure.kind == "clip-score")
    assert len(rows) - len(measured) == 6 * 4
    assert {row["source"] for row in rows[len(measured) :]} == {"published"}


def test_sweep_document_has_the_promised_keys(rising: Summary, swept: MeasureSet) -> None:
    """Rows of all metrics in one list, a verdict for each, GenEval's in front, and what was left out."""
    document = sweep_document(rising, swept, {"fd-dinov2": "no weights"}, run="runs/a")
    row = next(row for row in document["rows"] if row["metric"] == "fid[openmoji-clip]")
    estimate = {"value", "se", "ci", "n", "n_unscored", "n_clusters"}

    assert list(document) == [
        *("schema_version", "run", "suite", "partial", "scorer", "protocols", "rows", "verdict", "verdicts"),
        "not_measured",
    ]
    assert set(row) == {
        *("model", "metric", "protocol", "steps", "nfe", "source", "overall", "tasks", "seconds_per_image")
    }
    assert set(row["overall"]) == estimate
    assert (row["model"], row["source"], row["tasks"]) == ("selfe-tiny", "measured", {})
    assert document["protocols"][row["metric"]]["sha256"] == row["protocol"]
    assert document["protocols"][row["metric"]]["record"]["extractor"]["weights_sha256"] == "a1b2c3d4" * 8
    assert document["verdict"] == document["verdicts"][0]
    assert [verdict["metric"].partition("[")[0] for verdict in document["verdicts"]] == [
        *("geneval", "clip-score", "fid", "kid", "cmmd", "precision", "recall", "density", "coverage")
    ]
    assert document["not_measured"] == {"fd-dinov2": "no weights"}
    assert json.loads(json.dumps(document, allow_nan=False))["verdict"] == document["verdict"]


def test_without_geneval_the_first_verdict_leads(swept: MeasureSet, make_measures: MakeMeasures) -> None:
    """The document of a single metric has its own verdict, or none where there is none."""
    document = measures_document(swept, run="runs/a")
    spread = measures_document(make_measures(spread={2: 0.1, 4: 0.2}), run="runs/a")

    assert document["verdict"]["metric"] == "clip-score[openmoji-clip]"
    assert document["scorer"] is None
    assert (spread["verdict"], spread["verdicts"]) == (None, [])


def test_leaderboard_document_takes_any_run(rising: Summary, swept: MeasureSet) -> None:
    """A run with GenEval alone keeps its document; others have rows of all their metrics."""
    entries = [
        Entry(run="a", summary=rising),
        Entry(run="b", summary=rising, measures=swept),
        Entry(run="c", measures=swept),
    ]
    document = leaderboard_document(entries, (), published_ablations())

    assert [("protocols" in run, len(run["rows"])) for run in document["runs"]] == [
        (False, 3),
        (True, 3 + 27),
        (True, 27),
    ]
    assert {run["model"] for run in document["runs"]} == {"selfe-tiny"}
    assert document["published_ablations"][0]["overall"]["2"] == 0.5555
