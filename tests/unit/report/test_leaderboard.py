from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from selfe_eval.records import TASKS
from selfe_eval.report.as_csv import leaderboard_csv
from selfe_eval.report.as_json import geneval_document, leaderboard_document
from selfe_eval.report.entry import Entry
from selfe_eval.report.leaderboard import print_leaderboard
from selfe_eval.report.leaderboard_html import leaderboard_html
from selfe_eval.report.markdown import leaderboard_markdown
from selfe_eval.report.measures import MeasureSet
from selfe_eval.report.published import published_rows
from selfe_eval.report.published_ablations import published_ablations
from selfe_eval.report.scored_run import ScoredRun
from selfe_eval.report.summary import Summary

MakeRun = Callable[..., ScoredRun]


def entries(*summaries: Summary) -> list[Entry]:
    """The runs of these summaries, with nothing else known of them."""
    return [Entry(run=f"runs/{place}", summary=summary) for place, summary in enumerate(summaries)]


def rendered(summaries: list[Summary], width: int, *, published: bool = True) -> str:
    """The leaderboard as plain text."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_leaderboard(entries(*summaries), published_rows() if published else (), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(rising: Summary, width: int) -> None:
    """Every measured number is whole and every line fits, at any width."""
    text = rendered([rising], width)

    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for row in rising.rows:
        assert f"{100 * (row.overall.value or 0):.1f} ±" in text
        assert all(f"{100 * (task.value or 0):.1f}" in text for task in row.tasks.values())


def test_published_rows_stand_below_a_rule_with_a_dagger(rising: Summary) -> None:
    """Measured rows come first; published ones follow a rule, are marked and explained."""
    lines = rendered([rising], 80).splitlines()
    rules = [index for index, line in enumerate(lines) if line.startswith("───")]
    first_published = next(index for index, line in enumerate(lines) if "†" in line)

    assert len(rules) == 2
    assert rules[1] == first_published - 1
    note = "published (arXiv 2512.22374v1, Table 1), not measured here: on GenEval's own suite and detector"
    assert note in " ".join(line.strip() for line in lines)
    assert "§ published (djghosh13/geneval, README), not measured here" in " ".join(
        line.strip() for line in lines
    )
    assert any(line.startswith("‡ SANA-1.5 at 2 steps") for line in lines)


def test_what_has_no_step_count_shows_a_dash(rising: Summary) -> None:
    """Rows of models that take no steps show a dash in that column, in the terminal and in markdown."""
    assert any(re.match(r"CLIP retrieval §\s+-\s", line) for line in rendered([rising], 80).splitlines())
    assert "| *CLIP retrieval §* | - | 35.0 |" in leaderboard_markdown(entries(rising), published_rows())


def test_sources_that_disagree_stand_apart(rising: Summary) -> None:
    """SDXL is printed by two sources; each row names its own."""
    lines = [line for line in rendered([rising], 80).splitlines() if line.startswith("SDXL ")]

    assert [line.split()[1] for line in lines] == ["†", "§"]


def test_runs_measured_differently_never_share_a_table(make_run: MakeRun) -> None:
    """Another scorer, another table."""
    one = make_run({2: 0.5, 4: 0.6}).summary
    other = make_run({2: 0.5, 4: 0.6}, scorer={"sha256": "8"}).summary

    assert rendered([one, one], 80, published=False).count("s/img") == 1
    assert rendered([one, other], 80, published=False).count("s/img") == 2


def test_suites_never_share_a_table(make_run: MakeRun) -> None:
    """Two suites ask the same prompts of different worlds, and rewritten prompts are no official ones."""
    one = make_run({2: 0.5}).summary
    others = [replace(one, suite="geneval"), replace(one, suite="geneval[rewritten]")]

    assert rendered([one, *others], 80, published=False).count("s/img") == 3


def test_only_the_official_judge_gives_geneval(make_run: MakeRun) -> None:
    """A variant stands in a table of its own, under its own name, in every format; its caption warns."""
    own = make_run({2: 0.5}).summary
    variant = make_run({2: 0.5}, scorer={"variant": "hf-weights", "color_variant": "own-colors"}).summary
    name = "geneval[hf-weights+own-colors]"

    for text in (
        rendered([own, variant], 400, published=False),
        leaderboard_markdown(entries(own, variant), ()),
    ):
        assert f"{name} on the suite openmoji" in text
        assert "compare with nothing published as GenEval" in text
        assert text.count("GenEval on the suite") == 1
        assert [text.count(f" {heading} ") for heading in ("GenEval", "score")] == [1, 1]
    rows = list(
        csv.DictReader(
            io.StringIO(leaderboard_csv([Entry(run="a", summary=own), Entry(run="b", summary=variant)], ()))
        )
    )
    assert [row["metric"] for row in rows] == ["geneval", name]
    document = geneval_document(variant, run="runs/a")
    assert (document["rows"][0]["metric"], document["verdict"]["metric"]) == (name, name)


def test_rewritten_prompts_are_named(rising: Summary) -> None:
    """The caption of a run with rewritten prompts says so."""
    text = rendered([replace(rising, suite="geneval[rewritten]")], 400, published=False)

    assert "GenEval on the suite geneval[rewritten]" in text
    assert "The prompts are rewritten: compare with no score of the official ones." in text


def test_partial_runs_are_stamped(make_run: MakeRun) -> None:
    """A partial run says so above its table and beside its name, in the terminal and in markdown."""
    partial = make_run({2: 0.5, 4: 0.6}, prompt_ids=tuple(range(0, 240, 3))).summary

    for text in (rendered([partial], 100), leaderboard_markdown(entries(partial), ())):
        assert text.startswith(("PARTIAL", "**PARTIAL"))
        assert text.count("PARTIAL") > 1
        assert "No score of the suite" in text


def test_unscored_images_are_starred(make_run: MakeRun) -> None:
    """A star leads from n to the number of images without a score."""
    summary = make_run({2: 0.5, 4: 0.6}, unscored=2).summary

    for text in (rendered([summary], 80), leaderboard_markdown(entries(summary), ())):
        assert "958*" in text
        assert "* 2 planned images have no score" in text


def test_held_out_combinations_are_reported_apart(rising: Summary) -> None:
    """The caption gives seen and unseen combinations at the last step count."""
    assert "Combinations held out of training, at 50 steps" in rendered([rising], 200)


def test_model_names_are_not_markup(make_run: MakeRun) -> None:
    """Brackets in a name are shown, not interpreted."""
    assert "my[red]" in rendered([make_run({2: 0.5}, model="my[red]").summary], 80, published=False)


def test_a_task_that_is_not_there_is_a_dash(make_run: MakeRun) -> None:
    """A run of one task shows no zero for the others, and no interval where one prompt gives none."""
    summary = make_run({2: 0.5}, prompt_ids=(0,)).summary

    assert " - " in rendered([summary], 80, published=False)
    assert "±?" in rendered([summary], 80, published=False)


def test_markdown_is_a_table_a_reader_can_parse(rising: Summary) -> None:
    """Each line of a markdown table has as many cells as its heading."""
    text = leaderboard_markdown(entries(rising), published_rows())
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]

    assert [len(block) for block in blocks] == [2 + 3, 2 + 38]
    for block in blocks:
        assert len({line.count("|") for line in block}) == 1


def test_csv_has_numbers_and_empty_cells(rising: Summary) -> None:
    """Measured rows carry their interval, published rows none; both name where they are from."""
    rows = list(
        csv.DictReader(io.StringIO(leaderboard_csv([Entry(run="runs/a", summary=rising)], published_rows())))
    )
    measured, published = rows[:3], rows[3:]

    assert [float(row["value"]) for row in measured] == [row.overall.value for row in rising.rows]
    assert {row["source"] for row in published} == {"published"}
    assert {row["ci_low"] + row["n"] for row in published} == {""}
    assert measured[0]["run_or_reference"] == "runs/a"


def test_geneval_document_has_the_promised_keys(rising: Summary) -> None:
    """The document of `geneval --json` has exactly the keys that scripts rely on."""
    document = geneval_document(rising, run="runs/a")
    row = document["rows"][0]
    verdict = {"metric", "outcome", "delta", "drawdown_lower", "drawdown_upper", "gain_lower"}
    estimate = {"value", "se", "ci", "n", "n_unscored", "n_clusters"}

    assert list(document) == ["schema_version", "run", "suite", "partial", "scorer", "rows", "verdict"]
    assert document["scorer"] == {"sha256": "7" * 64}
    assert set(document["verdict"]) == verdict | {"worst_pair", "reason"}
    assert {"model", "metric", "steps", "nfe", "source", "overall", "tasks", "seconds_per_image"} <= set(row)
    assert set(row["overall"]) == estimate
    assert list(row["tasks"]) == list(TASKS)
    assert isinstance(row["overall"]["ci"], list)
    assert {name: set(share) for name, share in row["per_prompt"].items()} == dict.fromkeys(
        ("any", "mean", "all"), estimate
    )
    assert row["reasons"] == {"too_few": 960 - round(row["per_prompt"]["mean"]["value"] * 960)}
    assert set(row["sensitivity"]) == {"confidence", "counting"}
    assert set(row["sensitivity"]["counting"][0]) == {"threshold", "overall", "tasks"}
    assert set(row["near_ties"]) == {"images", "of"}


def test_leaderboard_document_keeps_published_rows_apart(rising: Summary) -> None:
    """Published rows are in a list of their own, each with its source and reference."""
    document = leaderboard_document([Entry(run="runs/a", summary=rising)], published_rows())

    assert [run["model"] for run in document["runs"]] == ["selfe-tiny"]
    assert {row["source"] for row in document["published"]} == {"published"}
    assert sum(row["erratum"] != "" for row in document["published"]) == 1
    assert [(row["model"], row["steps"]) for row in document["published"] if row["note"]] == [("SDXL", 50)]
    assert None in {row["steps"] for row in document["published"]}


def test_the_page_holds_every_table_and_needs_nothing_else(rising: Summary, swept: MeasureSet) -> None:
    """GenEval, the other metrics, and printed rows apart and faint; no address but those in the text, no foreign script."""
    shown = [Entry(run="a", summary=rising, measures=swept, hardware="cpu (2 threads)")]
    page = leaderboard_html(shown, published_rows(), published_ablations())
    tables = re.findall(r"<table.*?</table>", page, re.DOTALL)

    assert len(tables) == 1 + 1 + len(swept.measures) + 1
    assert [table.count("<tr>") - 1 for table in tables[:2]] == [3, 38]
    assert ['class="published"' in table for table in tables] == [
        False,
        True,
        *[False] * (len(tables) - 3),
        True,
    ]
    assert not re.search(r"(?:src|href)=|url\(|@import", page)
    for text in ("cpu (2 threads)", ">measured<", ">original<", "FID°", "monotone"):
        assert text in page


def test_the_page_allows_only_its_own_script_and_style(rising: Summary) -> None:
    """The policy names the hashes of what the page carries."""
    page = leaderboard_html(entries(rising), (), ())

    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src &#39;sha256-{digest}&#39;" in page


def test_the_page_shows_names_as_text(make_run: MakeRun) -> None:
    """A model that is called like a script stays text."""
    page = leaderboard_html(entries(make_run({2: 0.5}, model="<script>alert(1)</script>").summary), (), ())

    assert "&lt;script&gt;alert(1)" in page
    assert page.count("<script>") == 1


def test_the_page_stamps_partial_runs_and_names_other_prompts(make_run: MakeRun, rising: Summary) -> None:
    """What a table is not is said above it and in its rows."""
    partial = make_run({2: 0.5}, prompt_ids=tuple(range(0, 240, 3))).summary
    page = leaderboard_html(entries(partial, replace(rising, suite="geneval[rewritten]")), (), ())

    assert page.count("PARTIAL") == 2
    assert page.count(">rewritten<") == 3


def test_csv_says_where_each_number_is_from(rising: Summary, swept: MeasureSet) -> None:
    """Hardware and kind of prompts stand in every measured row, of all metrics, and in no printed one."""
    shown = [Entry(run="a", summary=rising, measures=swept, hardware="cpu (2 threads)")]
    rows = list(csv.DictReader(io.StringIO(leaderboard_csv(shown, published_rows(), published_ablations()))))

    measured = {(row["hardware"], row["prompts"]) for row in rows if row["source"] == "measured"}
    assert measured == {("cpu (2 threads)", "original")}
    assert {
        (row["hardware"], row["prompts"], row["rank"]) for row in rows if row["source"] == "published"
    } == {("", "", "")}
