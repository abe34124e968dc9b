from __future__ import annotations

from selfe_eval.provenance import file_sha256
from selfe_eval.report.baseline import read_baseline
from selfe_eval.report.gate import decide
from selfe_eval.report.gate_policy import read_policy
from selfe_eval.suites.registry import load_suite
from tests.repository import ROOT

FOLDER = ROOT / "results" / "baselines"
BASELINE = FOLDER / "selfe-tiny.json"


def test_the_committed_baseline_is_of_the_bundled_checkpoint() -> None:
    """Its run was drawn with the very files that are bundled; new ones need a new baseline (see the README beside it)."""
    checkpoint = ROOT / "model" / "checkpoints" / "selfe-tiny"
    stated = read_baseline(BASELINE).checkpoint_sha256

    assert stated == {name: file_sha256(checkpoint / name) for name in ("config.json", "model.safetensors")}


def test_the_committed_baseline_covers_the_suite_and_is_small() -> None:
    """All prompts of the openmoji world at 1, 2 and 8 steps, in a file that a diff can show."""
    found, suite = read_baseline(BASELINE).evidence, load_suite("openmoji")

    assert (found.suite, found.suite_sha256) == (suite.name, suite.sha256)
    assert list(found.tasks) == [prompt.prompt_id for prompt in suite.prompts]
    assert {name: sorted(metric.steps) for name, metric in found.metrics.items()} == {
        "geneval": [1, 2, 8],
        "clip-score[openmoji-clip]": [1, 2, 8],
    }
    assert found.libraries
    assert BASELINE.stat().st_size < 32_000


def test_the_committed_policy_fits_the_committed_baseline() -> None:
    """The two can be used together: held against itself the baseline passes by every row."""
    found = read_baseline(BASELINE).evidence
    decision = decide(found, found, read_policy(FOLDER / "gate.toml"))

    assert {row.outcome for row in decision.rows} == {"pass"}
