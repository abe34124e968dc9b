"""The gate gates itself: an unchanged model passes, a planted regression fails, what cannot be compared never passes.

The pair is real: one checkpoint drawn and judged twice on the whole suite, by the installed command. What is planted is
planted in a copy's records, from which its numbers are computed again.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from selfe_eval.provenance import json_sha256
from selfe_eval.runs.scores import protocol_of
from selfe_eval.score.geneval.rules import Limits, evaluate
from selfe_eval.suites.registry import load_suite
from tests.end_to_end.gating import bundled_are_there, change_scores, gate, run

JOB = ["--ckpt", "selfe-tiny", "--steps", "1", "--images-per-prompt", "1"]

pytestmark = pytest.mark.skipif(
    not bundled_are_there(), reason="the bundled weights are not in this checkout"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs of one checkpoint, the second without CLIP-score, and a baseline of each."""
    folder = tmp_path_factory.mktemp("gate")
    jobs = {"first": ["sweep", "--metrics", "geneval,clip-score"], "again": ["geneval"]}
    for name, verb in jobs.items():
        exit_code, _, err = run(*verb, *JOB, "--out", name, folder=folder)
        assert exit_code == 0, err
        promote = ["baseline", "promote", name, "--to", f"{name}.json", "--why", "tests", "--who", "Ada"]
        exit_code, _, err = run(*promote, folder=folder)
        assert exit_code == 0, err
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(made, tmp_path / "here"))


def test_an_unchanged_checkpoint_passes(made: Path) -> None:
    """A/A: drawn and judged twice, a checkpoint passes; a metric that is new is named."""
    exit_code, out, err = gate(made, "again.json", "first")

    assert (exit_code, err) == (0, "")
    assert "PASS: A loss of 2.0 pp in geneval is excluded at 1 step." in out
    assert "Not in the baseline, so not gated: clip-score[openmoji-clip]." in " ".join(out.split())


def test_a_deleted_metric_never_passes(made: Path) -> None:
    """A job that no longer measures CLIP-score is not comparable, unless the policy says in words that it may be."""
    exit_code, out, err = gate(made, "first.json", "again", "--json")
    assert (exit_code, json.loads(out)["outcome"]) == (3, "not_comparable")
    assert "The run lacks clip-score[openmoji-clip]" in err

    (made / "ignore.toml").write_text('ignore = ["clip-score"]\n')
    assert gate(made, "first.json", "again", "--policy", "ignore.toml")[0] == 0


def test_a_planted_regression_fails(here: Path) -> None:
    """Where half of the right images are made wrong the gate fails, in every way in which it can say so."""
    suite = load_suite("openmoji")
    limits = Limits(confidence=0.5, counting=0.5, max_objects=16)

    def lose_objects(record: dict[str, Any]) -> dict[str, Any]:
        if not record["correct"] or record["prompt_id"] % 2:
            return {}
        verdict = evaluate(suite.prompts[record["prompt_id"]], {}, limits)
        return {"correct": False, "reason": verdict.reason, "objects": {}, "weaker": {}, "near_ties": 0}

    change_scores(here / "first", lose_objects)
    summary = here / "summary.md"
    exit_code, out, err = gate(
        here,
        "first.json",
        "first",
        *("--json", "--junit", "gate.xml"),
        GITHUB_ACTIONS="true",
        GITHUB_STEP_SUMMARY=str(summary),
    )

    assert (exit_code, json.loads(out)["outcome"]) == (10, "fail")
    assert "geneval at 1 step by" in json.loads(out)["reason"]
    assert err.startswith("::error title=selfe-eval gate%3A FAIL::")
    assert "### selfe-eval gate: FAIL" in summary.read_text()
    assert b"<failure" in (here / "gate.xml").read_bytes()


def test_a_changed_detector_never_passes(here: Path) -> None:
    """Scores by other weights are not comparable, though all of them are the same."""
    path = here / "first" / "scores" / "geneval.scorer.json"
    scorer = {**json.loads(path.read_bytes()), "weights_sha256": "0" * 64}
    path.write_text(json.dumps(scorer))
    change_scores(here / "first", lambda _: {"scorer": json_sha256(protocol_of(scorer))[:16]})
    exit_code, _, err = gate(here, "first.json", "first")

    assert exit_code == 3
    assert "scorer (sha256)" in err


def test_inconclusive_counts_where_asked(made: Path) -> None:
    """A loss of less than an image is never excluded: a warning, and exit code 11 where that is asked for."""
    exit_code, _, err = gate(made, "first.json", "first", "--delta", "1e-6")
    assert exit_code == 0
    assert "warning: The gate is inconclusive" in err
    assert gate(made, "first.json", "first", "--delta", "1e-6", "--on-inconclusive", "fail")[0] == 11


def test_an_edited_baseline_is_refused(here: Path) -> None:
    """A baseline whose outcomes were edited by hand is not believed."""
    path = here / "first.json"
    path.write_text(path.read_text().replace('"marks": "', '"marks": "1', 1))

    assert gate(here, "first.json", "first")[0] == 3


def test_a_test_of_somebody_gates(made: Path, tmp_path: Path) -> None:
    """The fixture is there where selfe-eval is installed, without a line of configuration."""
    (tmp_path / "test_it.py").write_text(
        "import pytest\n\n"
        "def test_it(assert_no_regression):\n"
        f"    assert_no_regression({str(made / 'first')!r}, {str(made / 'again.json')!r})\n"
        "    with pytest.raises(pytest.fail.Exception, match='NOT COMPARABLE'):\n"
        f"        assert_no_regression({str(made / 'again')!r}, {str(made / 'first.json')!r})\n"
    )
    command: list[str | Path] = [sys.executable, "-m", "pytest", "-q", "-W", "error", tmp_path]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_new_noise_does_not_fail(made: Path) -> None:
    """The same checkpoint with another run seed passes or is inconclusive."""
    exit_code, _, err = run("geneval", *JOB, "--seed", "1", "--out", "noise", folder=made)
    assert exit_code == 0, err
    exit_code, out, err = gate(made, "again.json", "noise", "--json")

    assert exit_code == 0, err
    assert json.loads(out)["outcome"] in {"pass", "inconclusive"}
