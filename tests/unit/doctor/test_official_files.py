from __future__ import annotations

from pathlib import Path

import pytest

from selfe_eval.doctor.official_files import ColorFile, color_file, detector_weights
from selfe_eval.score.detectors.mask2former_weights import OFFICIAL_FILES


def test_either_official_file_is_found_where_scoring_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the folder of the environment variable, else under the home folder; and nothing is made there."""
    old, new = OFFICIAL_FILES.values()
    home, given = tmp_path / "home", tmp_path / "given"
    (home / ".cache" / "selfe-eval" / "weights").mkdir(parents=True)
    given.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SELFE_EVAL_WEIGHTS", raising=False)
    assert detector_weights("mmdet") is None

    (home / ".cache" / "selfe-eval" / "weights" / new).touch()
    assert detector_weights("transformers") == home / ".cache" / "selfe-eval" / "weights" / new

    monkeypatch.setenv("SELFE_EVAL_WEIGHTS", str(given))
    assert detector_weights("mmdet") is None
    (given / old).touch()
    assert detector_weights("mmdet") == given / old


def test_the_colour_model_is_found_in_the_hub_or_beside_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub's copy comes first and is told apart from OpenAI's own file; an empty disk has neither."""
    monkeypatch.setenv("HOME", str(tmp_path))
    hub = tmp_path / "hub"
    assert color_file(hub) is None

    clip = tmp_path / ".cache" / "clip" / "ViT-L-14.pt"
    clip.parent.mkdir(parents=True)
    clip.touch()
    assert color_file(hub) == ColorFile(path=clip, is_from_hub=False)

    repository = hub / "models--timm--vit_large_patch14_clip_224.openai"
    snapshot = repository / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    (snapshot / "open_clip_model.safetensors").touch()
    assert color_file(hub) == ColorFile(path=snapshot / "open_clip_model.safetensors", is_from_hub=True)
