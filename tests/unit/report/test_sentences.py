from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from selfe_eval.report.scored_run import ScoredRun
from selfe_eval.report.sentences import verdict_sentence, verdict_word
from selfe_eval.report.summary import Summary
from selfe_eval.stats.drawdown import MonotonicityVerdict

VERDICT = MonotonicityVerdict(
    outcome="monotone",
    delta=0.02,
    drawdown=0.004,
    drawdown_lower=0.0,
    drawdown_upper=0.013,
    gain_lower=0.21,
    worst_pair=(8, 50),
    reason="",
)


def test_monotone_names_both_bounds(rising: Summary) -> None:
    """MONOTONE says by how much quality can fall at most and rises at least."""
    summary = replace(rising, verdict=VERDICT)

    assert verdict_word(summary) == "MONOTONE (delta 2.0 pp)"
    assert verdict_sentence(summary) == (
        "quality never falls by more than 1.3 pp from 2 to 50 steps and rises by at least 21.0 pp."
    )


def test_violated_names_the_pair(rising: Summary) -> None:
    """VIOLATED names the two step counts and the least fall."""
    verdict = replace(VERDICT, outcome="violated", drawdown_lower=0.031)
    summary = replace(rising, verdict=verdict)

    assert verdict_word(summary) == "VIOLATED"
    assert verdict_sentence(summary) == "quality at 50 steps is worse than at 8 by at least 3.1 pp."


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("drawdown_not_excluded", "a fall of up to 1.3 pp (from 8 to 50 steps) is not excluded"),
        ("no_endpoint_gain", "no gain is shown"),
        ("too_small", "fewer than 30 prompts"),
    ],
)
def test_inconclusive_says_why(rising: Summary, reason: str, words: str) -> None:
    """Each reason is put in words."""
    verdict = replace(VERDICT, outcome="inconclusive", reason=reason)  # type: ignore[arg-type]
    summary = replace(rising, verdict=verdict)

    assert verdict_word(summary) == "INCONCLUSIVE"
    assert words in verdict_sentence(summary)


def test_one_step_count_is_no_curve(make_run: Callable[..., ScoredRun]) -> None:
    """A single step count asks for a second one."""
    assert "at least two" in verdict_sentence(make_run({4: 0.5}).summary)


def test_one_prompt_a_task_has_no_error(make_run: Callable[..., ScoredRun]) -> None:
    """Two step counts of one prompt have no error to judge by."""
    summary = make_run({4: 0.5, 8: 0.5}, prompt_ids=(0,)).summary

    assert "no error to judge by" in verdict_sentence(summary)
