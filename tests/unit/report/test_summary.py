from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from selfe_eval.errors import UntrustworthyError
from selfe_eval.records import TASKS, Suite
from selfe_eval.report.scored_run import ScoredRun
from selfe_eval.report.summary import Summary, metric_name, summary_bytes

MakeRun = Callable[..., ScoredRun]


def test_summary_survives_its_file(rising: Summary) -> None:
    """Reading summary.json gives the summary that was written."""
    assert Summary.from_json(json.loads(summary_bytes(rising))) == rising


def test_official_arithmetic(make_run: MakeRun, suite: Suite) -> None:
    """The overall score is the mean over tasks of the mean over images."""
    run = make_run({4: 0.5})
    by_task = {task: [] for task in TASKS}  # type: dict[str, list[bool]]
    for key, outcome in run.outcomes.items():
        by_task[suite.prompts[key.prompt_id].task].append(bool(outcome.correct))
    official = sum(sum(marks) / len(marks) for marks in by_task.values()) / 6

    assert run.summary.rows[0].overall.value == pytest.approx(official, abs=1e-12)
    assert list(run.summary.rows[0].tasks) == list(TASKS)


def test_row_facts(rising: Summary) -> None:
    """Each row carries its NFE, the median seconds without warm-up, and why images failed."""
    row = rising.rows[1]

    assert (row.steps, row.nfe) == (8, 16)
    assert row.seconds_per_image == pytest.approx(0.08)
    assert row.reasons == {"too_few": 960 - round((row.overall.value or 0) * 960)}
    assert rising.verdict.outcome == "monotone"
    assert not rising.partial


def test_near_ties_are_counted_by_image(rising: Summary) -> None:
    """Of 320 images whose verdict asked for a colour, the first of every eighth prompt has a near tie."""
    assert [(row.near_ties.images, row.near_ties.of) for row in rising.rows] == [(10, 320)] * 3


def test_null_scores_are_unscored_and_make_the_run_partial(make_run: MakeRun) -> None:
    """An image the scorer could not judge is counted as unscored, never as wrong, and stamps the run partial."""
    summary = make_run({4: 1.0}, unscored=3).summary
    overall = summary.rows[0].overall

    assert (overall.value, overall.n, overall.n_unscored) == (1.0, 957, 3)
    assert summary.rows[0].reasons == {"unscored": 3}
    assert summary.partial


def test_missing_records_make_the_run_partial(make_run: MakeRun) -> None:
    """A planned image without a record is unscored and stamps the run partial."""
    summary = make_run({4: 1.0}, missing=3).summary

    assert (summary.rows[0].overall.n_unscored, summary.partial) == (3, True)


def test_limited_run_is_partial(make_run: MakeRun) -> None:
    """A run over some of the prompts is partial, and counts only what it planned."""
    summary = make_run({4: 1.0}, prompt_ids=tuple(range(0, 240, 10))).summary

    assert (summary.partial, summary.num_prompts) == (True, 24)
    assert summary.rows[0].overall.n_unscored == 0


def test_seen_and_unseen_share_their_tasks(make_run: MakeRun) -> None:
    """Both parts are averages over the two tasks that have held-out prompts."""
    row = make_run({4: 0.5}).summary.rows[0]

    assert row.seen is not None
    assert row.unseen is not None
    assert (row.unseen.n_clusters, row.seen.n_clusters) == (20, 60)


def test_suite_without_held_out_prompts_has_no_split(suite: Suite, make_run: MakeRun) -> None:
    """No held-out prompts among those planned, no seen and unseen."""
    assert suite.unseen
    row = make_run({4: 0.5}, prompt_ids=tuple(range(40))).summary.rows[0]

    assert (row.seen, row.unseen) == (None, None)


def test_unmeasured_time_is_unknown(make_run: MakeRun) -> None:
    """Where every image was a warm-up there is no time."""
    assert make_run({4: 0.5}, prompt_ids=(0,)).summary.rows[0].seconds_per_image is None


def test_machine_does_not_change_the_protocol(make_run: MakeRun) -> None:
    """The scorer's device and the name of its file leave its hash alone, its weights do not."""
    cpu, gpu, other = (
        make_run(
            {4: 0.5}, scorer={"sha256": weights, "device": device, "weights_file": device}
        ).summary.scorer_sha256
        for weights, device in (("7", "cpu"), ("7", "cuda"), ("8", "cpu"))
    )

    assert cpu == gpu
    assert cpu != other


def test_not_a_number_cannot_be_written(rising: Summary) -> None:
    """NaN in a summary is an error at writing, not a surprise at reading."""
    row = replace(rising.rows[0], seconds_per_image=float("nan"))

    with pytest.raises(ValueError, match="JSON"):
        summary_bytes(replace(rising, rows=(row,)))


@pytest.mark.parametrize(
    ("scorer", "name"),
    [
        ({}, "geneval"),
        ({"variant": None, "color_variant": None}, "geneval"),
        ({"variant": "hf-weights"}, "geneval[hf-weights]"),
        ({"color_variant": "own-colors"}, "geneval[own-colors]"),
        ({"variant": "own-detector", "color_variant": "own-colors"}, "geneval[own-detector+own-colors]"),
    ],
)
def test_a_judge_of_another_kind_renames_the_metric(
    make_run: MakeRun, scorer: dict[str, str | None], name: str
) -> None:
    """Whatever is not the official detector or colour model stands in the name, and the file keeps it."""
    summary = make_run({4: 0.5}, scorer={"sha256": "7", **scorer}).summary

    assert summary.metric == name
    assert Summary.from_json(json.loads(summary_bytes(summary))).metric == name


@pytest.mark.parametrize(
    ("scorer", "name"),
    [
        ({"detector": "transformers", "color_model": "ViT-L-14-quickgelu"}, "geneval"),
        ({"detector": "openmoji", "color_model": "openmoji-clip"}, "geneval[openmoji+openmoji-clip]"),
        ({"detector": "transformers", "color_model": "openmoji-clip"}, "geneval[openmoji-clip]"),
        ({"detector": "openmoji", "variant": "own-detector"}, "geneval[own-detector]"),
    ],
)
def test_the_bundled_judge_is_no_judge_of_the_official_suite(scorer: dict[str, str], name: str) -> None:
    """In the world it was trained for it is the metric's own; on GenEval's prompts it stands in the name."""
    assert metric_name("geneval", scorer) == name
    assert metric_name("geneval[rewritten]", scorer) == name
    assert metric_name("openmoji", {**scorer, "variant": None}) == "geneval"


@pytest.mark.parametrize("forged", [{"metric": "geneval"}, {"scorer_sha256": "7" * 64}])
def test_a_name_that_is_not_the_scorers_is_refused(make_run: MakeRun, forged: dict[str, str]) -> None:
    """A variant cannot be passed off as GenEval by editing the name or the hash alone."""
    summary = make_run({4: 0.5}, scorer={"variant": "hf-weights"}).summary

    with pytest.raises(UntrustworthyError, match="garbles a field"):
        Summary.from_json({**summary.as_json(), **forged})


@pytest.mark.parametrize("damage", ["schema_version", "metric", "scorer", "rows", "verdict", "model"])
def test_damaged_summary_is_refused(rising: Summary, damage: str) -> None:
    """A summary of another version, or without a field, is refused with what to do."""
    document = rising.as_json()
    document.pop(damage)

    with pytest.raises(UntrustworthyError, match="selfe-eval summarise"):
        Summary.from_json(document)


@pytest.mark.parametrize("garbage", [[1], [{}], [{"tasks": []}], "rows"])
def test_garbled_rows_are_refused(rising: Summary, garbage: object) -> None:
    """Rows of the wrong shape are refused, not guessed at."""
    with pytest.raises(UntrustworthyError, match="garbles"):
        Summary.from_json({**rising.as_json(), "rows": garbage})
