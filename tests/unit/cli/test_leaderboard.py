from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from selfe_eval.cli.leaderboard import leaderboard
from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.report.measures import measures_bytes
from selfe_eval.runs.run import open_run
from tests.fakes import small_suite
from tests.unit.report.conftest import simulated_measures

FinishedRun = Callable[..., Path]


def invoke(*arguments: str | Path) -> Result:
    """Run the verb alone."""
    app = typer.Typer()
    app.command()(leaderboard)
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"NO_COLOR": "1"})


def test_table_shows_runs_and_published_rows(finished_run: FinishedRun) -> None:
    """The default is a table of the runs with the published rows below, and a verdict for each run."""
    a, b = finished_run("selfe-tiny", {1: 0.3, 50: 0.6}), finished_run("flow-tiny", {1: 0.1, 50: 0.6})
    result = invoke(a, b)

    assert result.exit_code == 0
    assert "selfe-tiny: MONOTONE (delta 2.0 pp)" in result.stdout
    assert "flow-tiny: MONOTONE" in result.stdout
    assert "FLUX.1-dev †" in result.stdout
    assert "Flow Matching 0.5B" in result.stdout.partition("on another scale")[2]
    assert "\x1b[" not in result.stdout


def test_a_single_run_is_shown_in_detail(finished_run: FinishedRun) -> None:
    """Below the table of one run stands what it says beyond its mean; below that of two, nothing more."""
    a, b = finished_run("a", {1: 0.3, 50: 0.6}), finished_run("b", {1: 0.1, 50: 0.6})

    assert "any, mean, all:" in invoke(a).stdout
    assert "any, mean, all:" not in invoke(a, b).stdout


@pytest.mark.parametrize("form", ["rich", "md", "csv", "html", "json"])
def test_other_releases_are_said_in_every_format(finished_run: FinishedRun, form: str) -> None:
    """Runs measured with different releases share a table, and a note on stderr names them; equal ones need none."""
    a, b = finished_run("a", {1: 0.3, 50: 0.6}), finished_run("b", {1: 0.1, 50: 0.6})
    assert invoke(a, b, "--format", form).stderr == ""

    for run, release in ((a, "2.14.0"), (b, "2.15.0")):
        open_run(run).update(attempts=({"versions": {"torch": release}},))
    result = invoke(a, b, "--format", form)

    assert result.exit_code == 0
    assert "note: Releases of libraries differ: torch 2.14.0 (a), 2.15.0 (b)." in result.stderr


def test_published_rows_can_be_left_out(finished_run: FinishedRun) -> None:
    """--no-published shows what was measured alone."""
    assert "†" not in invoke(finished_run("a", {1: 0.3, 50: 0.6}), "--no-published").stdout


@pytest.mark.parametrize("option", [["--json"], ["--format", "json"]])
def test_json_is_one_document(finished_run: FinishedRun, option: list[str]) -> None:
    """Stdout is one JSON document that names the run folder."""
    run = finished_run("a", {1: 0.3, 50: 0.6})
    document = json.loads(invoke(run, *option).stdout)

    assert document["runs"][0]["run"] == str(run)
    assert len(document["published"]) == 38
    assert len(document["published_ablations"]) == 6


def test_csv_and_markdown_are_data_alone(finished_run: FinishedRun) -> None:
    """The other formats can be redirected to a file as they are."""
    run = finished_run("a", {1: 0.3, 50: 0.6})
    rows = list(csv.reader(io.StringIO(invoke(run, "--format", "csv").stdout)))

    assert {len(row) for row in rows} == {len(rows[0])}
    assert "| a | 1 |" in invoke(run, "--format", "md", "--no-published").stdout


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    """The error names the folder and the files that were expected."""
    result = invoke(tmp_path)

    assert isinstance(result.exception, UsageError)
    assert "run.json" in str(result.exception)
    assert str(tmp_path) in str(result.exception)


def test_an_unfinished_run_is_told_how_to_finish(finished_run: FinishedRun) -> None:
    """A run without summary.json ends with the command that goes on."""
    run = finished_run("a", {1: 0.3, 50: 0.6})
    (run / "summary.json").unlink()
    result = invoke(run)

    assert isinstance(result.exception, UntrustworthyError)
    assert f"selfe-eval resume {run}" in str(result.exception)


@pytest.mark.parametrize("content", ["{", "[]", '{"schema_version": NaN}', '{"schema_version": 99}'])
def test_a_damaged_summary_is_refused(finished_run: FinishedRun, content: str) -> None:
    """Broken JSON, another shape, NaN and another version are refused with the command that repairs."""
    run = finished_run("a", {1: 0.3})
    (run / "summary.json").write_text(content)
    result = invoke(run)

    assert isinstance(result.exception, UntrustworthyError)
    assert "selfe-eval summarise" in str(result.exception)


def test_partial_runs_are_barred_unless_asked_for(finished_run: FinishedRun) -> None:
    """A partial run is refused; with --allow-partial it is shown with its stamp."""
    run = finished_run("a", {1: 0.3, 50: 0.6}, limit=100)
    refused = invoke(run)

    assert isinstance(refused.exception, UntrustworthyError)
    assert "--allow-partial" in str(refused.exception)
    assert "PARTIAL" in invoke(run, "--allow-partial").stdout


def add_metrics(run: Path, **changes: object) -> Path:
    """Beside what is there, a document of other metrics."""
    run.mkdir(exist_ok=True)
    measures = simulated_measures(
        replace(small_suite(), name="openmoji"),
        **{"sets": {"fid": {1: 9.0, 50: 3.0}}, "clip": {1: 20.0, 50: 25.0}, **changes},  # type: ignore[arg-type]
    )
    (run / "metrics.json").write_bytes(measures_bytes(measures))
    return run


def test_other_metrics_follow_geneval(finished_run: FinishedRun, tmp_path: Path) -> None:
    """Runs with GenEval, with other metrics, and with both stand in one output, each metric in its own table."""
    a = finished_run("a", {1: 0.3, 50: 0.6})
    b = add_metrics(finished_run("b", {1: 0.2, 50: 0.6}), model="b")
    c = add_metrics(tmp_path / "c", model="c", seed=1)
    text = invoke(a, b, c).stdout
    geneval, _, others = text.partition("on another scale")

    assert "a: MONOTONE" in geneval
    assert "b: MONOTONE" in geneval
    assert geneval.index("FLUX.1-dev †") < geneval.index("CLIP-score°") < geneval.index("FID°")
    assert [line.split()[0] for line in geneval.partition("FID° on")[2].splitlines()[3:5]] == ["b", "c"]
    assert "Self-E 0.5B" in others


def test_runs_without_geneval_need_no_published_rows(tmp_path: Path) -> None:
    """Printed scores are of GenEval: without it there is nothing to show them beside."""
    run = add_metrics(tmp_path / "c")

    for form in ("rich", "md", "csv", "json"):
        text = invoke(run, "--format", form).stdout
        assert "fid[openmoji-clip]" in text
        assert "FLUX" not in text


def test_every_format_has_every_metric(finished_run: FinishedRun) -> None:
    """Markdown, CSV and JSON hold GenEval's rows and those of the other metrics."""
    run = add_metrics(finished_run("a", {1: 0.3, 50: 0.6}), model="a")
    rows = list(csv.DictReader(io.StringIO(invoke(run, "--format", "csv", "--no-published").stdout)))
    document = json.loads(invoke(run, "--json").stdout)

    assert [row["metric"] for row in rows] == [
        name for name in ("geneval", "clip-score[openmoji-clip]", "fid[openmoji-clip]") for _ in range(2)
    ]
    assert [row["metric"] for row in document["runs"][0]["rows"]] == [row["metric"] for row in rows]
    assert re.search(r"\| a \| 9\.\d* ±", invoke(run, "--format", "md").stdout)


def test_partial_metrics_are_barred_unless_asked_for(tmp_path: Path) -> None:
    """A partial run of other metrics is refused like one of GenEval."""
    run = add_metrics(tmp_path / "c", prompt_ids=(0, 1, 2))
    refused = invoke(run)

    assert isinstance(refused.exception, UntrustworthyError)
    assert "--allow-partial" in str(refused.exception)
    assert "PARTIAL" in invoke(run, "--allow-partial").stdout


def test_runs_are_ranked_where_their_single_scores_are(finished_run: FinishedRun) -> None:
    """Two runs that differ have two letters; without the scores of one neither has any, and the output says why."""
    a, b = finished_run("a", {1: 0.3, 50: 0.6}), finished_run("b", {1: 0.1, 50: 0.6}, seed=1)
    text = invoke(a, b, "--format", "md", "--no-published").stdout

    assert re.search(r"\| a \| 1 \| - \| [\d.]+ ±[\d.]+ \| a \|", text)
    assert re.search(r"\| b \| 1 \| - \| [\d.]+ ±[\d.]+ \| b \|", text)
    assert len(re.findall(r"\| 50 \| - \| [\d.]+ ±[\d.]+ \| a \|", text)) == 2
    (b / "scores" / "geneval.jsonl").unlink()
    text = invoke(a, b, "--format", "md", "--no-published").stdout
    assert "rank |" not in text
    assert "Not ranked: b: only the summary is here" in text


def test_scores_that_are_not_those_of_the_summary_are_refused(finished_run: FinishedRun) -> None:
    """A rank from other scores than the shown ones would be a rank of something else."""
    a, b = finished_run("a", {1: 0.3}), finished_run("b", {1: 0.1}, seed=1)
    lines = (b / "scores" / "geneval.jsonl").read_text().splitlines()
    (b / "scores" / "geneval.jsonl").write_text("\n".join(lines[:-3]) + "\n")

    result = invoke(a, b)

    assert isinstance(result.exception, UntrustworthyError)
    assert "selfe-eval summarise" in str(result.exception)


def test_html_is_one_page(finished_run: FinishedRun) -> None:
    """The page can be redirected to a file as it is."""
    page = invoke(finished_run("a", {1: 0.3, 50: 0.6}), "--format", "html").stdout

    assert page.startswith("<!doctype html>")
    assert page.endswith("</html>\n")
