from __future__ import annotations

import pytest

from selfe_eval.records import Suite
from selfe_eval.report.html.content import ShownRun
from tests.unit.report.conftest import MakeMeasures, MakeRun
from tests.unit.report.html.shown import IDS, shown_run


@pytest.fixture
def shown(suite: Suite, make_run: MakeRun, make_measures: MakeMeasures) -> ShownRun:
    """Twelve prompts with four images at 2, 8 and 50 steps, with three more metrics."""
    measures = make_measures(
        clip={2: 24.0, 8: 27.0, 50: 28.0},
        spread={2: 0.05, 8: 0.12, 50: 0.11},
        sets={"fid": {2: 0.312, 8: 0.104, 50: 0.0912}},
        prompt_ids=IDS,
    )
    return shown_run(suite, make_run({2: 0.3, 8: 0.6, 50: 0.9}, prompt_ids=IDS), measures=measures)


@pytest.fixture
def other(suite: Suite, make_run: MakeRun) -> ShownRun:
    """Another model on the same prompts, at 2 and 8 steps, without other metrics."""
    run = make_run({2: 0.5, 8: 0.5}, prompt_ids=IDS, model="rival", seed=1)
    return shown_run(suite, run, folder="results/runs/b")
