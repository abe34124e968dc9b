from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from selfe_eval.doctor.examine import Request, files_for
from selfe_eval.runs.judge import JudgeOptions


def test_a_broken_torchvision_stops_the_judges_and_not_the_doctor(tmp_path: Path) -> None:
    """Where torchvision raises on import, that is the finding, with the wheels to install; nobody is trusted."""
    (tmp_path / "torchvision").mkdir()
    message = "operator torchvision::nms does not exist"
    (tmp_path / "torchvision" / "__init__.py").write_text(f"raise RuntimeError({message!r})\n")
    command = [sys.executable, "-m", "selfe_eval.cli.app", "doctor", "--detector", "openmoji", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ended = subprocess.run(command, capture_output=True, check=False, text=True, env=environment)
    document = json.loads(ended.stdout)
    (failed,) = (finding for finding in document["findings"] if finding["status"] == "fail")

    assert ended.returncode == 3
    assert failed["name"] == "torch with torchvision"
    assert message in failed["found"]
    assert "pip install --force-reinstall torch torchvision" in failed["advice"]
    assert document["trusted"]["openmoji"]["answer"] == "no"
    assert document["trusted"]["openmoji"]["because"] == "torch with torchvision"
    assert ended.stderr.count("Traceback") == 0


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk without official weights."""
    monkeypatch.setenv("SELFE_EVAL_WEIGHTS", str(tmp_path))


def asked(detector: str | None, judge: JudgeOptions) -> dict[str, JudgeOptions]:
    request = Request(detector=detector, device="cpu", judge=judge)
    return {name: files_for(request, name) for name in request.asked}


@pytest.mark.usefixtures("no_weights")
def test_files_without_a_detectors_name_belong_to_the_official_ones() -> None:
    """Weights that the environment names are no reason to refuse, and are not the bundled judge's."""
    weights = JudgeOptions(detector_weights="x.pth", color_weights="clip.pt")
    own = JudgeOptions(detector_weights="x.pth", detector_config="x.py")

    assert asked(None, weights) == {"openmoji": JudgeOptions(), "transformers": weights, "mmdet": weights}
    assert asked(None, own) == {"openmoji": JudgeOptions(), "transformers": JudgeOptions(), "mmdet": own}
    assert asked("openmoji", weights) == {"openmoji": weights}
