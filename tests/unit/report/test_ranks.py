from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from rich.console import Console

from selfe_eval.records import Suite
from selfe_eval.report.as_csv import leaderboard_csv
from selfe_eval.report.as_json import leaderboard_document
from selfe_eval.report.entry import Entry, hardware_of
from selfe_eval.report.evidence import RunEvidence
from selfe_eval.report.leaderboard import print_leaderboard
from selfe_eval.report.markdown import leaderboard_markdown
from selfe_eval.report.ranks import NO_SCORES, letter_display, ranked
from selfe_eval.report.run_evidence import scored_evidence
from selfe_eval.report.scored_run import ScoredRun
from tests.unit.report.conftest import make_record

MakeRun = Callable[..., ScoredRun]


@pytest.fixture
def rank(make_run: MakeRun, suite: Suite) -> Callable[..., list[Entry]]:
    """Entries with ranks: (model -> curve) -> the runs; those in ``lost`` have no single scores any more."""

    def made(
        curves: Mapping[str, Mapping[int, float]], lost: tuple[str, ...] = (), **changes: object
    ) -> list[Entry]:
        runs = {
            model: make_run(curve, model=model, seed=seed, **changes)
            for seed, (model, curve) in enumerate(curves.items())
        }
        evidence = {name: scored_evidence(run, suite) for name, run in runs.items()}

        def known(entry: Entry) -> RunEvidence | None:
            return None if entry.run in lost else evidence[entry.run]

        return ranked([Entry(run=name, summary=run.summary) for name, run in runs.items()], known)

    return made


def test_clear_differences_are_ranked_and_ties_share_a_letter(rank: Callable[..., list[Entry]]) -> None:
    """At each step count the models are ranked anew: two alike share a letter, a worse one has another."""
    entries = rank({"a": {1: 0.2, 4: 0.8}, "b": {1: 0.8, 4: 0.8}, "c": {1: 0.2, 4: 0.5}})

    assert [entry.ranks for entry in entries] == [{1: "b", 4: "a"}, {1: "a", 4: "a"}, {1: "b", 4: "b"}]
    assert {entry.unranked for entry in entries} == {""}


def test_what_is_between_two_models_can_be_tied_with_both() -> None:
    """A tie is not transitive: the middle one has both letters, the outer ones share none."""
    assert letter_display([0.5, 0.45, 0.4], lambda i, j: (i, j) == (0, 2)) == ("a", "ab", "b")


def test_more_models_make_chance_differences_rarer(rank: Callable[..., list[Entry]]) -> None:
    """Of twelve models that are equally good, Holm over 66 pairs leaves all tied, where single tests would not."""
    alike = {f"model-{number}": {2: 0.5} for number in range(12)}

    assert {entry.ranks[2] for entry in rank(alike)} == {"a"}


def test_a_step_count_of_one_model_alone_has_no_rank(rank: Callable[..., list[Entry]]) -> None:
    """Nobody is first of one."""
    entries = rank({"a": {1: 0.2, 4: 0.8}, "b": {4: 0.5}})

    assert [entry.ranks for entry in entries] == [{4: "a"}, {4: "b"}]


def test_runs_without_single_scores_are_not_ranked_and_say_why(rank: Callable[..., list[Entry]]) -> None:
    """A summary alone cannot be paired; the others are ranked among themselves."""
    entries = rank({"a": {1: 0.2}, "b": {1: 0.8}, "c": {1: 0.5}}, lost=("c",))

    assert [entry.ranks for entry in entries] == [{1: "b"}, {1: "a"}, {}]
    assert [entry.unranked for entry in entries] == ["", "", NO_SCORES]
    assert f"Not ranked: c: {NO_SCORES}." in leaderboard_markdown(entries, ())


def test_partial_runs_and_single_ones_are_not_ranked(rank: Callable[..., list[Entry]]) -> None:
    """A part of a suite is no score of it; one run has nobody to be ranked with. Neither is explained at length."""
    partial = rank({"a": {1: 0.2}, "b": {1: 0.8}}, prompt_ids=tuple(range(0, 240, 3)))
    single = rank({"a": {1: 0.2}}, lost=("a",))

    assert [(entry.ranks, entry.unranked) for entry in (*partial, *single)] == [({}, "")] * 3


def test_runs_judged_by_another_scorer_are_ranked_apart(make_run: MakeRun, suite: Suite) -> None:
    """What shares no table shares no rank."""
    runs = [
        make_run({1: chance}, model=model, scorer={"sha256": scorer}, seed=seed)
        for seed, (model, chance, scorer) in enumerate(
            [("a", 0.2, "7"), ("b", 0.8, "7"), ("c", 0.5, "8"), ("d", 0.9, "8")]
        )
    ]
    entries = [Entry(run=str(number), summary=run.summary) for number, run in enumerate(runs)]

    made = ranked(entries, lambda entry: scored_evidence(runs[int(entry.run)], suite))

    assert [entry.ranks[1] for entry in made] == ["b", "a", "b", "a"]


def test_ranks_are_in_every_format(rank: Callable[..., list[Entry]]) -> None:
    """Terminal, markdown, CSV and JSON show the letters; only with them a caption explains letters."""
    entries = rank({"a": {1: 0.2}, "b": {1: 0.8}})
    bare = [replace(entry, ranks={}) for entry in entries]
    stream = io.StringIO()
    print_leaderboard(entries, (), Console(file=stream, width=100, color_system=None))

    assert " rank " in stream.getvalue()
    assert "models that share a letter are not shown to differ" in " ".join(stream.getvalue().split())
    assert re.search(r"\| b \| 1 \| 2 \| [\d.]+ ±[\d.]+ \| a \|", leaderboard_markdown(entries, ()))
    assert "rank" not in leaderboard_markdown(bare, ()).lower()
    lines = [line.split(",") for line in leaderboard_csv(entries, ()).splitlines()]
    assert [line[lines[0].index("rank")] for line in lines[1:]] == ["b", "a"]
    document = leaderboard_document(entries, ())
    assert [run["rows"][0]["rank"] for run in document["runs"]] == ["b", "a"]


@pytest.mark.parametrize("width", [60, 80, 88, 120, 126])
def test_ranks_fit_every_width(rank: Callable[..., list[Entry]], width: int) -> None:
    """No line of a table with ranks is wider than the terminal, and no number is cut."""
    stream = io.StringIO()
    print_leaderboard(
        rank({"a": {50: 0.2}, "b": {50: 0.8}}), (), Console(file=stream, width=width, color_system=None)
    )

    assert max(map(len, stream.getvalue().splitlines())) <= width
    assert "…" not in stream.getvalue()


def test_the_hardware_is_told_with_the_seconds(rank: Callable[..., list[Entry]], suite: Suite) -> None:
    """A caption names what the seconds were measured on: once where it is one machine, else for each model."""
    one, other = rank({"a": {1: 0.2}, "b": {1: 0.8}})
    record = make_record(suite, model="a", steps=(1,), images=1, prompt_ids=(0,))
    cpu = hardware_of(replace(record, generator={"device": "cpu", "threads": 2}))
    gpu = hardware_of(replace(record, generator={"device": "NVIDIA H200", "threads": 8}))
    alike = leaderboard_markdown([replace(one, hardware=cpu), replace(other, hardware=cpu)], ())
    unlike = leaderboard_markdown([replace(one, hardware=cpu), replace(other, hardware=gpu)], ())

    assert hardware_of(record) == ""
    assert hardware_of(replace(record, generator={"device": "cpu", "threads": 1})) == "cpu (1 thread)"
    assert hardware_of(replace(record, generator={"device": "mps", "threads": 8})) == "mps"
    assert "median, on cpu (2 threads)." in alike
    assert "median; a on cpu (2 threads); b on NVIDIA H200. Other hardware, other seconds." in unlike
    assert "Seconds an image" not in leaderboard_markdown([one, other], ())


def test_a_printed_row_that_is_measured_again_is_called_reproduced(make_run: MakeRun) -> None:
    """Only a preset that papers print, at a printed step count, on their prompts and judge, and it is explained."""
    summary = replace(make_run({2: 0.5, 50: 0.6}).summary, suite="geneval", scorer={"sha256": "7"})
    entry = Entry(run="runs/a", summary=summary, printed_as="SDXL")

    assert [entry.source(steps) for steps in (50, 3)] == ["reproduced", "measured"]
    assert "| 50 ◇ |" in leaderboard_markdown([entry], ())
    assert "◇ reproduced:" in leaderboard_markdown([entry], ())
    for other in (
        replace(entry, printed_as=None),
        replace(entry, summary=replace(summary, suite="openmoji")),
        replace(entry, summary=replace(summary, scorer={"variant": "hf-weights"})),
    ):
        assert other.source(50) == "measured"
        assert "◇" not in leaderboard_markdown([other], ())
