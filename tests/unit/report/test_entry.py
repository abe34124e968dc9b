"""Runs of one checkpoint that were sampled in different ways have different names on a leaderboard."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from selfe_eval.report.entry import read_entry, sampled_otherwise
from selfe_eval.runs.run import open_run
from tests.repository import ROOT

OPENMOJI = ROOT / "results" / "openmoji"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({}, ""),
        ({"guidance": 1.0}, "guidance 1"),
        ({"guidance": 2.5, "eta": 0.0, "s_schedule": "current"}, "guidance 2.5, eta 0, s current"),
        (
            {"warp": -0.5, "noise_rule": "heuristic", "negative_prompt": "a dog"},
            "warp -0.5, noise heuristic, negative prompt",
        ),
    ],
)
def test_what_was_overridden_is_said(overrides: dict[str, Any], said: str) -> None:
    """The checkpoint's own way has no words; every override has."""
    spec = open_run(OPENMOJI / "selfe-tiny").record.spec

    assert sampled_otherwise(replace(spec, **overrides)) == said


@pytest.mark.parametrize(
    ("folder", "name"),
    [("selfe-tiny", "selfe-tiny"), ("selfe-tiny-guidance-1", "selfe-tiny (guidance 1)")],
)
def test_the_name_on_a_leaderboard_is_that_of_model_and_sampling(folder: str, name: str) -> None:
    """In GenEval's numbers and in those of the other metrics alike."""
    entry = read_entry(OPENMOJI / folder)

    assert entry.model == name
    assert entry.summary is not None
    assert entry.measures is not None
    assert entry.summary.model == entry.measures.model == name
