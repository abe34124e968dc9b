from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from selfe_eval.errors import UntrustworthyError
from selfe_eval.pipeline import calibrate as stage
from selfe_eval.records import TASKS, Prompt, Suite
from selfe_eval.score.detectors.protocol import RgbImages
from selfe_eval.score.geneval_scorer import ImageScore
from selfe_eval.suites.registry import load_suite


class _Says:
    """A judge with one answer."""

    def __init__(self, *, correct: bool) -> None:
        self._correct = correct

    def score(self, images: RgbImages, prompts: Sequence[Prompt]) -> list[ImageScore]:
        assert len(images) == len(prompts)
        return [
            ImageScore(correct=self._correct, reason="", objects={}, weaker={}, near_ties=0) for _ in prompts
        ]

    def describe(self) -> dict[str, Any]:
        return {"detector": "fake"}


@pytest.fixture(autouse=True)
def few_prompts(monkeypatch: pytest.MonkeyPatch) -> list[Prompt]:
    """Every tenth prompt, so that all tasks are there and nothing takes long."""
    prompts = list(load_suite("openmoji").prompts[::10])
    suite = Suite(name="openmoji", prompts=prompts, sha256="")
    monkeypatch.setattr(stage, "load_suite", lambda _name: suite)
    return prompts


def _calibrate(*, correct: bool) -> stage.Calibration:
    return stage.calibrate(_Says(correct=correct), scenes_per_prompt=2)  # type: ignore[arg-type]  # a fake


def test_a_judge_that_always_agrees_fails_on_broken_scenes(few_prompts: list[Prompt]) -> None:
    """Saying "correct" to everything is right on all intact scenes and wrong on all broken ones."""
    result = _calibrate(correct=True)
    assert (result.overall.value, result.overall.num_scenes) == (1.0, 2 * len(few_prompts))
    assert set(result.tasks) == set(TASKS)
    assert {share.value for share in result.broken.values()} == {0.0}
    assert set(result.broken) == {"class", "color", "count_fewer", "count_more", "side"}
    assert not result.passed


def test_a_judge_that_never_agrees_fails_on_intact_scenes() -> None:
    """Saying "wrong" to everything is right on broken scenes only."""
    result = _calibrate(correct=False)
    assert result.overall.value == 0.0
    assert all(share.value == 1.0 and share.passed for share in result.broken.values())
    assert not result.passed


def test_degraded_scenes_have_no_target() -> None:
    """Blur, noise and compression are reported, and decide nothing."""
    result = _calibrate(correct=False)
    assert set(result.degraded) == {"blurred", "noisy", "compressed"}
    assert all(share.passed for share in result.degraded.values())


def test_the_document_is_json_with_every_count() -> None:
    """Each share travels with its number of scenes and its target."""
    document = json.loads(json.dumps(_calibrate(correct=True).document()))
    assert document["passed"] is False
    assert document["intact"]["overall"] == {"value": 1.0, "n": 112, "target": 0.97}
    assert set(document["intact"]["tasks"]) == set(TASKS)
    assert document["judge"] == {"detector": "fake"}


def test_a_missed_target_is_exit_code_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The verb prints its table and then says that the judge is not to be believed."""
    from selfe_eval.cli.calibrate import calibrate
    from selfe_eval.score import geneval_scorer

    monkeypatch.setattr(geneval_scorer, "build_scorer", lambda *_args: _Says(correct=True))
    with pytest.raises(UntrustworthyError, match="missed a calibration target") as error:
        calibrate(scenes=1, seed=0, device="cpu", as_json=False)
    assert error.value.exit_code == 3
    assert "MISSED" in capsys.readouterr().out
