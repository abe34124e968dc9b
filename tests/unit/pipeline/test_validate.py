from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from selfe_eval.pipeline.opening import existing_run, planned_run
from selfe_eval.pipeline.progress import Silence
from selfe_eval.pipeline.status import status_by_steps
from selfe_eval.pipeline.validate import problems
from selfe_eval.runs import layout
from selfe_eval.runs.run import open_run
from tests.fakes import FakeGenerator, FakeScorer, run_stages, small_record, small_suite

SUITE = small_suite()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with planned_run(tmp_path / "run", small_record(SUITE)) as run:
        run_stages(run, SUITE, FakeGenerator, FakeScorer(), Silence())
    return tmp_path / "run"


def found(folder: Path) -> list[str]:
    return problems(open_run(folder), SUITE)


def edit_line(file: Path, number: int, **changes: object) -> None:
    lines = file.read_text().splitlines()
    lines[number] = json.dumps({**json.loads(lines[number]), **changes})
    file.write_text("\n".join(lines) + "\n")


def flip_all(file: Path) -> None:
    for number in range(48):
        edit_line(file, number, correct=True)


def drop_line(path: Path, number: int) -> None:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:number] + lines[number + 1 :]))


def test_a_finished_run_has_no_problem(folder: Path) -> None:
    """What the pipeline writes is whole and unchanged by its own standard."""
    assert found(folder) == []


SPOILERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "image deleted": (lambda f: (f / "images/steps-001/00000/samples/0000.png").unlink(), "missing"),
    "image changed": (
        lambda f: (f / "images/steps-001/00000/samples/0000.png").write_bytes(b"x"),
        "changed; expected SHA-256",
    ),
    "image record deleted": (lambda f: drop_line(f / "images.jsonl", 3), "planned, but has no record"),
    "image record invented": (
        lambda f: edit_line(f / "images.jsonl", 3, prompt_id=77),
        "has a record, but was not planned",
    ),
    "seed changed": (lambda f: edit_line(f / "images.jsonl", 3, seed=1), "recorded with seed 1"),
    "path changed": (lambda f: edit_line(f / "images.jsonl", 3, path="run.json"), "run.json: expected at"),
    "stray file": (lambda f: (f / "images/steps-001/x.png").touch(), "no record speaks of this file"),
    "metadata changed": (
        lambda f: (f / "images/steps-001/00000/metadata.jsonl").write_text("{}"),
        "is not the suite's line",
    ),
    "score deleted": (lambda f: drop_line(f / "scores/geneval.jsonl", 3), "has no score"),
    "score flipped": (
        lambda f: flip_all(f / "scores/geneval.jsonl"),
        "summary.json: is not what the scores give",
    ),
    "score nulled": (
        lambda f: edit_line(f / "scores/geneval.jsonl", 3, correct=None, reason="unscored: x"),
        "unscored: x",
    ),
    "score of another image": (
        lambda f: edit_line(f / "scores/geneval.jsonl", 3, image_sha256="0"),
        "given for another image",
    ),
    "score of another scorer": (
        lambda f: edit_line(f / "scores/geneval.jsonl", 3, scorer="0"),
        "different scorers",
    ),
    "score doubled": (
        lambda f: edit_line(f / "scores/geneval.jsonl", 3, prompt_id=0, image_index=0),
        "repeats the score",
    ),
    "reference's results edited": (
        lambda f: (f / "reference/steps-004/results.jsonl").write_text("{}"),
        "reference/steps-004/results.jsonl: is not what the scores give",
    ),
    "reference's summary deleted": (
        lambda f: (f / "reference/steps-001/summary.txt").unlink(),
        "reference/steps-001/summary.txt: is missing",
    ),
    "summary deleted": (lambda f: (f / "summary.json").unlink(), "summary.json: is missing"),
    "journal torn": (
        lambda f: (f / "images.jsonl").write_bytes((f / "images.jsonl").read_bytes()[:-1]),
        "the last line is torn",
    ),
    "status": (lambda f: open_run(f).update(status="incomplete"), "the status is incomplete"),
}


@pytest.mark.parametrize("name", SPOILERS)
def test_every_change_is_found(folder: Path, name: str) -> None:
    """Whatever is deleted, edited, doubled or added in a run folder is listed."""
    spoil, message = SPOILERS[name]
    spoil(folder)
    assert any(message in problem for problem in found(folder))


def test_status_counts_what_is_there(folder: Path) -> None:
    """Images and scores are counted at each step count, from the records alone."""
    drop_line(folder / "images.jsonl", 0)
    drop_line(folder / "scores/geneval.jsonl", 47)
    one, four = status_by_steps(open_run(folder))
    assert (one.planned, one.made, one.scored) == (24, 23, 24)
    assert (four.planned, four.made, four.scored) == (24, 24, 23)


def test_what_a_killed_process_left_is_counted_and_named(folder: Path) -> None:
    """Records in a shard count as made and scored; validate says where they belong and finds nothing else."""
    before = status_by_steps(open_run(folder))
    for name in ("images.jsonl", "scores/geneval.jsonl"):
        journal = folder / name
        lines = journal.read_text().splitlines(keepends=True)
        journal.write_text("".join(lines[0::2]))
        layout.shard_path(journal, 1).write_text("".join(lines[1::2]))

    assert status_by_steps(open_run(folder)) == before
    derived = ("summary.json", "reference/")  # of half the records: other numbers, and partial
    named = [problem for problem in found(folder) if not problem.startswith(derived)]
    assert [problem.split(":")[0] for problem in named] == [
        "images.rank-001.jsonl",
        "scores/geneval.rank-001.jsonl",
    ]
    with existing_run(folder):
        pass
    assert found(folder) == []
