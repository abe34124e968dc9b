from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from selfe_eval import provenance


def test_the_hash_of_a_file_is_the_hash_of_its_bytes(tmp_path: Path) -> None:
    """file_sha256 agrees with bytes_sha256 beyond one chunk. Origin of the constant: sha256sum of nothing."""
    content = b"x" * (3 * 2**20 + 1)
    (tmp_path / "f").write_bytes(content)
    assert provenance.file_sha256(tmp_path / "f") == provenance.bytes_sha256(content)
    assert provenance.bytes_sha256(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_a_json_hash_refuses_nan() -> None:
    """What cannot be written as JSON has no hash."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        provenance.json_sha256({"a": float("nan")})


def test_git_state_tells_clean_from_dirty(tmp_path: Path) -> None:
    """The commit is recorded, and whether the files differ from it; outside a checkout there is none."""
    assert provenance.git_state(tmp_path) is None
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)  # noqa: S607
    clean = provenance.git_state(tmp_path)
    assert clean is not None
    assert len(clean["commit"]) == 40
    assert clean["dirty"] is False
    (tmp_path / "new").touch()
    assert provenance.git_state(tmp_path) == {**clean, "dirty": True}


def test_a_broken_checkout_gives_no_state(tmp_path: Path) -> None:
    """Where git cannot answer, provenance says so instead of failing the run."""
    (tmp_path / ".git").write_text("gitdir: nowhere")
    assert provenance.git_state(tmp_path) is None


def test_an_attempt_names_versions_and_command() -> None:
    """Every attempt says what was typed, when, and with which versions."""
    attempt = provenance.attempt(stage="generate")
    assert attempt["stage"] == "generate"
    assert {"numpy", "opencv-python", "transformers"} <= attempt["versions"].keys()
    assert attempt["argv"]
    assert attempt["started_at"].endswith("+00:00")
