from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfe_eval.doctor.bundled_weights import JUDGE, bundled_findings
from selfe_eval.doctor.findings import Finding
from selfe_eval.provenance import bytes_sha256


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    """The judge's two folders and a model, with small files and true hashes."""
    for name in (*JUDGE, "model"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_bytes(name.encode())
        config = {"files": {"weights": bytes_sha256(name.encode())}}
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    return tmp_path


def judged(folder: Path) -> dict[str, Finding]:
    return {finding.name.removeprefix("weights of "): finding for finding in bundled_findings(folder)}


def test_whole_checkpoints_are_fine(checkpoints: Path) -> None:
    """Each folder is a finding; the judge's stand in its own area."""
    findings = judged(checkpoints)
    assert {name: (f.area, f.status) for name, f in findings.items()} == {
        **dict.fromkeys(JUDGE, ("openmoji", "ok")),
        "model": ("bundled models", "ok"),
    }


@pytest.mark.parametrize("damage", ["flip", "no weights", "no config", "no hash", "no folder"])
def test_every_damage_to_a_judge_is_a_failure(checkpoints: Path, damage: str) -> None:
    """A changed byte, a missing file or folder, and a config without hashes fail that folder alone."""
    folder = checkpoints / "openmoji-detector"
    if damage == "flip":
        (folder / "weights").write_bytes(b"another")
    elif damage == "no weights":
        (folder / "weights").unlink()
    elif damage == "no config":
        (folder / "config.json").unlink()
    elif damage == "no hash":
        (folder / "config.json").write_text("{}")
    else:
        folder.rename(checkpoints / "elsewhere")
    findings = judged(checkpoints)

    assert findings["openmoji-detector"].status == "fail"
    assert "Reinstall" in findings["openmoji-detector"].advice
    assert findings["openmoji-clip"].status == "ok"


def test_the_bundled_checkpoints_are_what_they_say() -> None:
    """The repository's own weights agree with their hashes."""
    assert {finding.status for finding in bundled_findings()} == {"ok"}
