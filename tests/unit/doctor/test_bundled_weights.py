from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfe_eval.doctor.bundled_weights import model_findings, weights_findings
from selfe_eval.generate.checkpoints import FORMAT, WEIGHTS_FILE, bundled_checkpoints, find_checkpoint
from selfe_eval.provenance import bytes_sha256


@pytest.mark.parametrize(("content", "status"), [(b"weights", "ok"), (b"weightz", "fail"), (None, "fail")])
def test_weights_other_than_the_configuration_names_are_a_failure(
    tmp_path: Path, content: bytes | None, status: str
) -> None:
    """A changed byte and a missing file fail, with what to do; whole files are named by their hash."""
    sha256 = bytes_sha256(b"weights")
    config = {"format": FORMAT, "name": "mine", "files": {WEIGHTS_FILE: sha256}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    if content is not None:
        (tmp_path / WEIGHTS_FILE).write_bytes(content)
    (finding,) = weights_findings(find_checkpoint(str(tmp_path)))

    assert (finding.area, finding.name, finding.status) == ("bundled models", "weights of mine", status)
    assert sha256[:8] in finding.found + finding.advice


def test_the_bundled_models_are_what_they_say() -> None:
    """Each model that travels with the package agrees with its hashes."""
    findings = list(model_findings())
    assert len(findings) == len(bundled_checkpoints()) > 0
    assert {finding.status for finding in findings} == {"ok"}
