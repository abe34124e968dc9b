"""What the CI of a user does, with what is committed here: draw, measure, gate against results/baselines/selfe-tiny.json.

The baseline was made once, the run is made now, maybe on another machine and with newer libraries.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from selfe_eval.runs.journal import read_journal
from tests.end_to_end.gating import bundled_are_there, change_scores, gate, run
from tests.repository import ROOT

BASELINE = ROOT / "results" / "baselines" / "selfe-tiny.json"
POLICY = ROOT / "results" / "baselines" / "gate.toml"
SWEEP = [
    *("sweep", "--ckpt", "selfe-tiny", "--steps", "1,2,8", "--images-per-prompt", "1"),
    *("--metrics", "geneval,clip-score"),
]
"""As results/baselines/README.md says."""

pytestmark = pytest.mark.skipif(
    not bundled_are_there(), reason="the bundled weights are not in this checkout"
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of the bundled checkpoint, drawn now."""
    folder = tmp_path_factory.mktemp("ci")
    exit_code, _, err = run(*SWEEP, "--out", "new", folder=folder)
    assert exit_code == 0, err
    return folder / "new"


def test_the_bundled_checkpoint_passes(drawn: Path) -> None:
    """Drawn anew, it is held to the committed outcomes of all 553 prompts at 1, 2 and 8 steps, and nothing is lost."""
    exit_code, out, err = gate(drawn.parent, str(BASELINE), "new", "--policy", POLICY, "--json")
    document = json.loads(out)
    primary = [row for row in document["metrics"] if row["is_primary"]]

    assert (exit_code, document["outcome"]) == (0, "pass"), err
    assert [(row["steps"], row["n_clusters"]) for row in primary] == [(1, 553), (2, 553), (8, 553)]
    assert {row["metric"] for row in document["metrics"]} == {"geneval", "clip-score[openmoji-clip]"}


def test_a_model_that_gains_nothing_by_more_steps_fails(drawn: Path, tmp_path: Path) -> None:
    """With the outcomes of its own single step at 8 steps, the same run fails there and not at the others."""
    changed = Path(shutil.copytree(drawn, tmp_path / "new"))
    outcomes = ("correct", "reason", "objects", "weaker", "near_ties")
    records = read_journal(changed / "scores" / "geneval.jsonl")
    at_one = {record["prompt_id"]: record for record in records if record["steps"] == 1}

    def as_at_one(record: dict[str, Any]) -> dict[str, Any]:
        if record["steps"] != 8:
            return {}
        return {name: at_one[record["prompt_id"]][name] for name in outcomes}

    change_scores(changed, as_at_one)
    exit_code, out, err = gate(tmp_path, str(BASELINE), "new", "--policy", POLICY, "--json")
    primary = [row for row in json.loads(out)["metrics"] if row["is_primary"]]

    assert exit_code == 10
    assert [(row["steps"], row["outcome"]) for row in primary] == [(1, "pass"), (2, "pass"), (8, "fail")]
    assert "geneval at 8 steps by" in err
