from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


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
    assert document["trusted"]["openmoji"] == {"answer": "no", "because": "torch with torchvision"}
    assert ended.stderr.count("Traceback") == 0
