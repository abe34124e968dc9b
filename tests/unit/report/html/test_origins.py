from __future__ import annotations

from pathlib import Path

from selfe_eval.report.html.content import ShownRun
from selfe_eval.report.html.origins import origins, without_home


def test_everything_that_decides_a_number_is_named(shown: ShownRun) -> None:
    """Spec with hashes, judge with thresholds, protocol of every metric and the command as it was typed."""
    found = {origin.title: dict(origin.rows) for origin in origins(shown)}

    assert found["What was asked"]["checkpoint_sha256.model.safetensors"] == "1" * 64
    assert found["The run"]["spec_sha256"] == shown.record.spec.sha256
    assert found["Judge"]["thresholds.confidence"] == "0.3"
    assert found["Protocol of fid[openmoji-clip]"]["reference.n"] == "1106"
    assert found["Work 1"]["argv"] == "selfe-eval sweep --out 'a b'"


def test_the_home_folder_is_not_told() -> None:
    """A path below the home folder begins with a tilde; one beside it stays."""
    home = Path.home()

    assert without_home(f"--out {home}/runs/a") == "--out ~/runs/a"
    assert without_home(f"{home}2/runs") == f"{home}2/runs"
