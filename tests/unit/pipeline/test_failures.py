from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.pipeline.failures import DrawnFailures, draw_failures, spread_over_tasks
from selfe_eval.pipeline.opening import planned_run
from selfe_eval.pipeline.progress import Silence
from selfe_eval.pipeline.scored_images import ScoredImage
from selfe_eval.records import TASKS, ImageKey, Prompt
from selfe_eval.runs.images import ImageRecord
from selfe_eval.runs.journal import read_journal
from selfe_eval.runs.run import open_run
from selfe_eval.runs.scores import ScoreRecord
from tests.fakes import FakeGenerator, FakeScorer, run_stages, small_record, small_suite

SUITE = small_suite()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run in which every image failed: 24 images at each of 1 and 4 steps."""
    return scored_run(tmp_path, threshold=0)


def scored_run(tmp_path: Path, *, threshold: int) -> Path:
    with planned_run(tmp_path / "run", small_record(SUITE)) as run:
        run_stages(run, SUITE, FakeGenerator, FakeScorer(threshold=threshold), Silence())
    return tmp_path / "run"


def draw(folder: Path, **changes: Any) -> DrawnFailures:
    options: dict[str, Any] = {"steps": None, "task": None, "num": 24, "path": None}
    return draw_failures(open_run(folder), SUITE, **{**options, **changes})


def test_the_sheet_lies_in_the_run_folder(folder: Path) -> None:
    """By default the largest step count is drawn, into a file named after it, and the run stays valid."""
    drawn = draw(folder)

    assert drawn.path == folder / "failures-steps-004.png"
    assert (drawn.steps, drawn.num_scored, drawn.num_failed, drawn.num_drawn) == (4, 24, 24, 24)
    with Image.open(drawn.path) as sheet:
        assert sheet.format == "PNG"


def test_a_step_count_a_task_a_number_and_a_file_can_be_chosen(folder: Path, tmp_path: Path) -> None:
    """Only what was asked for is drawn, where it was asked."""
    drawn = draw(folder, steps=1, task="counting", num=3, path=tmp_path / "a.png")

    assert (drawn.steps, drawn.num_scored, drawn.num_drawn) == (1, 4, 3)
    assert drawn.path == tmp_path / "a.png"
    assert not (folder / "failures-steps-001.png").exists()


def test_only_failures_are_drawn(tmp_path: Path) -> None:
    """Correct images are counted and left out."""
    folder = scored_run(tmp_path, threshold=128)
    wrong = [
        line
        for line in read_journal(folder / "scores/geneval.jsonl")
        if line["steps"] == 4 and not line["correct"]
    ]
    drawn = draw(folder)

    assert 0 < drawn.num_drawn < 24
    assert (drawn.num_failed, drawn.num_scored) == (len(wrong), 24)


def test_nothing_failed_draws_nothing(tmp_path: Path) -> None:
    """Where every image is correct there is no sheet."""
    folder = scored_run(tmp_path, threshold=256)

    assert draw(folder).path is None
    assert list(folder.glob("*.png")) == []


def test_what_the_run_does_not_have_is_a_usage_error(folder: Path) -> None:
    """A step count or task that is not there is named with those that are."""
    with pytest.raises(UsageError, match=r"--steps 3: .* has images at 1, 4 steps"):
        draw(folder, steps=3)
    with pytest.raises(UsageError, match="Did you mean 'counting'"):
        draw(folder, task="count")


def test_without_scores_nothing_is_said(folder: Path) -> None:
    """No score is not "nothing failed"."""
    (folder / "scores/geneval.jsonl").unlink()

    with pytest.raises(UntrustworthyError, match=r"no scored images at 4 steps.*selfe-eval resume"):
        draw(folder)


@pytest.mark.parametrize("damage", ["deleted", "changed"])
def test_another_image_than_was_judged_is_not_drawn(folder: Path, damage: str) -> None:
    """Boxes on other pixels than the detector saw would mislead."""
    path = folder / "images/steps-004/00000/samples/0000.png"
    if damage == "deleted":
        path.unlink()
    else:
        path.write_bytes((folder / "images/steps-004/00000/samples/0001.png").read_bytes())

    with pytest.raises(UntrustworthyError, match=r"0000\.png cannot be drawn.*selfe-eval validate"):
        draw(folder)


def test_images_elsewhere_are_found(folder: Path, tmp_path: Path) -> None:
    """Images that somebody else made are recorded, and found, by their absolute path."""
    (folder / "images").rename(tmp_path / "theirs")
    lines = [
        {**line, "seed": None, "path": str(tmp_path / "theirs" / Path(line["path"]).relative_to("images"))}
        for line in read_journal(folder / "images.jsonl")
    ]
    (folder / "images.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    assert draw(folder).num_drawn == 24


def failed(task: str, number: int) -> ScoredImage:
    key = ImageKey(steps=1, prompt_id=number, image_index=0)
    return ScoredImage(
        image=ImageRecord(key=key, path="", sha256=""),
        prompt=Prompt(prompt_id=number, task=task, text="", include=()),
        score=ScoreRecord(key=key, correct=False, reason="", image_sha256="", scorer=""),
        objects={},
        weaker={},
    )


@given(sizes=st.lists(st.integers(0, 30), min_size=6, max_size=6), num=st.integers(1, 60))
def test_failures_are_spread_evenly(sizes: list[int], num: int) -> None:
    """As many as wanted and there, none twice, in order; no task has two more than one that could give more."""
    given_ones = [failed(task, n) for task, size in zip(TASKS, sizes, strict=True) for n in range(size)]
    chosen = spread_over_tasks(given_ones, num)
    shares = Counter(one.prompt.task for one in chosen)

    assert len(chosen) == min(num, len(given_ones))
    places = [given_ones.index(one) for one in chosen]
    assert places == sorted(set(places))
    for task, size in zip(TASKS, sizes, strict=True):
        if shares[task] < size:
            assert max(shares.values()) <= shares[task] + 1


def test_few_of_many_are_spaced_evenly() -> None:
    """Of a hundred failures of a task, four are taken a quarter apart."""
    chosen = spread_over_tasks([failed("colors", n) for n in range(100)], 4)

    assert [one.prompt.prompt_id for one in chosen] == [0, 25, 50, 75]
