from __future__ import annotations

from collections.abc import Callable

import pytest

from selfe_eval.records import TASKS, Suite
from selfe_eval.report.scored_run import ScoredRun
from selfe_eval.report.sensitivity import sensitivity

MakeRun = Callable[..., ScoredRun]


def test_the_own_thresholds_give_the_score_itself(make_run: MakeRun) -> None:
    """At 0.3 and at 0.9 both curves pass through the score of the row, overall and in every task."""
    row = make_run({4: 0.5}).summary.rows[0]
    assert row.sensitivity is not None
    confidence = {score.threshold: score for score in row.sensitivity.confidence}
    counting = {score.threshold: score for score in row.sensitivity.counting}

    assert (list(confidence), list(counting)) == ([0.2, 0.3, 0.35], [0.8, 0.9, 0.95])
    for own in (confidence[0.3], counting[0.9]):
        assert own.overall == row.overall.value
        assert own.tasks == {task: estimate.value for task, estimate in row.tasks.items()}


def test_each_threshold_moves_its_own_tasks(make_run: MakeRun, suite: Suite) -> None:
    """The value at a threshold is counted by hand; what it does not concern stays as it was judged."""
    run = make_run({4: 0.5})
    row = run.summary.rows[0]
    assert row.sensitivity is not None
    for curve, moved in (
        (row.sensitivity.confidence, set(TASKS) - {"counting"}),
        (row.sensitivity.counting, {"counting"}),
    ):
        for score in curve:
            for task in TASKS:
                marks = [
                    outcome.correct_at[score.threshold] if task in moved else outcome.correct
                    for outcome in run.outcomes.values()
                    if suite.prompts[outcome.key.prompt_id].task == task
                ]
                assert score.tasks[task] == pytest.approx(sum(map(bool, marks)) / len(marks))
            shares = [share for share in score.tasks.values() if share is not None]
            assert score.overall == pytest.approx(sum(shares) / len(TASKS))


def test_a_run_of_one_task_has_one_curve(make_run: MakeRun) -> None:
    """Where no counting image was asked for, the counting threshold moves nothing."""
    row = make_run({4: 0.5}, prompt_ids=(0, 1)).summary.rows[0]
    assert row.sensitivity is not None

    assert [len(curve) for curve in (row.sensitivity.confidence, row.sensitivity.counting)] == [3, 0]


def test_a_task_without_scores_has_no_value(make_run: MakeRun) -> None:
    """Where a planned task has no scored image the overall score is None at every threshold, never a zero."""
    row = make_run({4: 0.5}, unscored=160).summary.rows[0]
    assert row.sensitivity is not None

    for score in row.sensitivity.confidence:
        assert (score.overall, score.tasks[TASKS[0]]) == (None, None)
        assert score.tasks[TASKS[1]] is not None


def test_unknown_is_none(make_run: MakeRun, suite: Suite) -> None:
    """A run of which nothing is scored, or whose scorer states no thresholds, has no curve."""
    assert make_run({4: 0.5}, unscored=960).summary.rows[0].sensitivity is None
    assert sensitivity([], suite.prompts, 4) is None
