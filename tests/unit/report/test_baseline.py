from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.provenance import json_sha256
from selfe_eval.report.baseline import Baseline, Promotion, promoted, read_baseline, write_baseline
from selfe_eval.report.evidence import ImageEvidence, RunEvidence, SetEvidence
from tests.unit.report.made_evidence import made_run

PROMOTION = Promotion(
    at="2026-11-23T12:00:00+00:00", who="Ada", why="the first", git_commit="c" * 40, version="0.1.0"
)
CHECKPOINT = {"model.safetensors": "1" * 64}
GENEVAL, CLIP, FID = "geneval", "clip-score[openmoji-clip]", "fid[openmoji-clip]"


@pytest.fixture
def baseline() -> Baseline:
    run = made_run({2: 0.4, 8: 0.7}, {2: 24.0, 8: 27.0}, {2: 0.3, 8: 0.1})
    return promoted(run, CHECKPOINT, PROMOTION, None)


@pytest.fixture
def written(baseline: Baseline, tmp_path: Path) -> Path:
    path = tmp_path / "baselines" / "main.json"
    write_baseline(path, baseline)
    return path


def images(run: RunEvidence, metric: str, steps: int) -> dict[tuple[int, int], float]:
    found = run.metrics[metric].steps[steps]
    assert isinstance(found, ImageEvidence)
    return dict(found.values)


def distance(run: RunEvidence, steps: int) -> SetEvidence:
    found = run.metrics[FID].steps[steps]
    assert isinstance(found, SetEvidence)
    return found


def test_what_is_said_of_a_run_comes_back(baseline: Baseline, written: Path) -> None:
    """Everything but the numbers is read as it was written."""
    back = read_baseline(written)

    assert (back.promotion, back.history, back.checkpoint_sha256) == (PROMOTION, (), CHECKPOINT)
    assert back.sha256 == baseline.sha256
    for name in (
        "model",
        "suite",
        "suite_sha256",
        "tasks",
        "images_per_prompt",
        "seed",
        "partial",
        "spec_sha256",
    ):
        assert getattr(back.evidence, name) == getattr(baseline.evidence, name)
    assert list(back.evidence.metrics) == [GENEVAL, CLIP, FID]
    for metric, name in (
        (metric, name) for metric in (GENEVAL, CLIP, FID) for name in ("protocol_sha256", "unit")
    ):
        assert getattr(back.evidence.metrics[metric], name) == getattr(
            baseline.evidence.metrics[metric], name
        )
    assert [metric.higher_is_better for metric in back.evidence.metrics.values()] == [True, True, False]
    assert [metric.is_macro for metric in back.evidence.metrics.values()] == [True, False, False]


@pytest.mark.parametrize("steps", [2, 8])
def test_numbers_come_back(baseline: Baseline, written: Path, steps: int) -> None:
    """Verdicts and distances come back to the bit, other numbers of images with six digits."""
    before, after = baseline.evidence, read_baseline(written).evidence

    assert images(after, GENEVAL, steps) == images(before, GENEVAL, steps)
    assert images(after, CLIP, steps) == {
        key: float(f"{value:.6g}") for key, value in images(before, CLIP, steps).items()
    }
    one, two = distance(before, steps), distance(after, steps)
    assert (one.value, one.n, one.n_clusters) == (two.value, two.n, two.n_clusters)
    assert np.array_equal(one.without, two.without)


def test_an_image_without_a_number_is_no_zero(baseline: Baseline, tmp_path: Path) -> None:
    """What was left out is left out again."""
    metric = baseline.evidence.metrics[GENEVAL]
    values = images(baseline.evidence, GENEVAL, 2)
    del values[3, 1]
    metrics = {GENEVAL: replace(metric, steps={2: ImageEvidence(values=values)})}
    path = tmp_path / "main.json"
    write_baseline(path, replace(baseline, evidence=replace(baseline.evidence, metrics=metrics)))

    assert images(read_baseline(path).evidence, GENEVAL, 2) == values


def test_verdicts_take_a_character_an_image(written: Path) -> None:
    """The verdicts of 480 images are 480 characters, so four images of 553 prompts are two kilobytes."""
    marks = json.loads(written.read_text())["metrics"][GENEVAL]["steps"]["2"]["marks"]

    assert len(marks) == 480
    assert set(marks) == {"0", "1"}


def test_promotions_are_remembered(baseline: Baseline, tmp_path: Path) -> None:
    """Each promotion keeps date, person, reason and hash of all that came before it."""
    path = tmp_path / "main.json"
    write_baseline(path, baseline)
    for number in (2, 3):
        former = read_baseline(path)
        promotion = replace(PROMOTION, why=f"number {number}", who="Bob")
        write_baseline(path, promoted(made_run({2: 0.4}, seed=number), CHECKPOINT, promotion, former))
    last = read_baseline(path)

    assert last.promotion.why == "number 3"
    assert [(former.who, former.why) for former in last.history] == [
        ("Ada", "the first"),
        ("Bob", "number 2"),
    ]
    assert last.history[0].sha256 == baseline.sha256


def test_a_run_that_is_not_whole_is_no_baseline() -> None:
    """Partial runs, and runs without a number, are refused."""
    for run in (made_run({2: 0.4}, partial=True), made_run()):
        with pytest.raises(UntrustworthyError, match="cover its suite whole"):
            promoted(run, CHECKPOINT, PROMOTION, None)


def flip_a_mark(document: dict[str, Any]) -> None:
    step = document["metrics"][GENEVAL]["steps"]["2"]
    step["marks"] = ("1" if step["marks"][0] == "0" else "0") + step["marks"][1:]


def lose_a_mark(document: dict[str, Any]) -> None:
    step = document["metrics"][GENEVAL]["steps"]["2"]
    step["marks"] = step["marks"][1:]


DAMAGE: dict[str, Callable[[dict[str, Any]], object]] = {
    "an outcome is edited": flip_a_mark,
    "an outcome is missing": lose_a_mark,
    "the reason is edited": lambda document: document["promotion"].update(why="a better one"),
    "a metric is deleted": lambda document: document["metrics"].pop(FID),
    "another version": lambda document: document.update(schema_version=2),
    "no version": lambda document: document.pop("schema_version"),
    "an unknown field": lambda document: document.update(verdict="pass"),
    "a missing field": lambda document: document.pop("seed"),
    "a mark that is none": lambda document: document["metrics"][GENEVAL]["steps"].update(
        {"2": {"marks": "x" * 480}}
    ),
    "an infinite distance": lambda document: document["metrics"][FID]["steps"]["2"].update(value=1e999),
    "an unknown metric": lambda document: document["metrics"].update(fame=document["metrics"][GENEVAL]),
    "a list of metrics": lambda document: document.update(metrics=[]),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_was_edited_is_refused(written: Path, damage: Callable[[dict[str, Any]], object]) -> None:
    """Any change by hand is refused."""
    document = json.loads(written.read_text())
    damage(document)
    written.write_text(json.dumps(document))

    with pytest.raises(UntrustworthyError, match="cannot be believed"):
        read_baseline(written)


def test_a_form_that_does_not_fit_is_refused_with_any_hash(written: Path) -> None:
    """The hash is not all that is looked at: a list of outcomes that is too short is refused with its own hash."""
    document = json.loads(written.read_text())
    lose_a_mark(document)
    del document["sha256"]
    written.write_text(json.dumps({**document, "sha256": json_sha256(document)}))

    with pytest.raises(UntrustworthyError, match="cannot be believed"):
        read_baseline(written)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"null", b'{"schema_version": NaN}', b"\xff"])
def test_what_is_no_baseline_is_refused(tmp_path: Path, content: bytes) -> None:
    """Files that hold something else, or nothing, are refused with their name."""
    path = tmp_path / "other.json"
    path.write_bytes(content)

    with pytest.raises(UntrustworthyError, match=r"other\.json"):
        read_baseline(path)


def test_a_baseline_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The error says how to make one."""
    with pytest.raises(UsageError, match="baseline promote RUN --to"):
        read_baseline(tmp_path / "none.json")
