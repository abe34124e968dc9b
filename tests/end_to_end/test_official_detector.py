"""Images that anybody made, scored by the official detector's code in both backends, by the installed command.

The weights are random: what is tested is the way of an image through everything, and that both backends say the
same. No score of theirs means anything, which the program says too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from selfe_eval.resources import checkpoints_dir
from selfe_eval.runs.journal import read_journal
from selfe_eval.score.detectors.mmdet_mask2former import packaged_config
from selfe_eval.suites.registry import load_suite
from tests.unit.score.detectors.small_mask2former import mmdet2_names, random_tensors

PROMPT_IDS = (0, 460)
"""One of single_object, one of color_attr."""
SIZE = (96, 64)
SCORE_TOLERANCE = 1e-3
"""Random weights are steep: where rounding flips a place of an attention mask, scores move. How near the two backends
come is tested in tests/unit/score/detectors, layer by layer; here it is about the way through the program."""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``images`` in the official layout, and ``detector.pth``: a full-size checkpoint in the official key names."""
    folder = tmp_path_factory.mktemp("official")
    rng = np.random.default_rng(0)
    prompts = load_suite("geneval").prompts
    for prompt_id in PROMPT_IDS:
        samples = folder / "images" / f"{prompt_id:05d}" / "samples"
        samples.mkdir(parents=True)
        (samples.parent / "metadata.jsonl").write_text(json.dumps(prompts[prompt_id].metadata()))
        coarse = Image.fromarray(rng.integers(0, 256, (6, 4, 3), dtype=np.uint8))
        coarse.resize(SIZE, Image.Resampling.BICUBIC).save(samples / "0000.png")
    weights = mmdet2_names(random_tensors(packaged_config()))
    torch.save({"meta": {"mmdet_version": "2.20.0"}, "state_dict": weights}, folder / "detector.pth")
    return folder


Scored = tuple[subprocess.CompletedProcess[str], list[dict[str, Any]]]
"""What the command printed, and the journal that it left."""


@pytest.fixture(scope="module")
def runs(workplace: Path) -> dict[str, Scored]:
    """The folder scored by each backend."""
    return {name: scored(workplace, name) for name in ("mmdet", "transformers")}


def scored(workplace: Path, detector: str) -> Scored:
    result = subprocess.run(
        [
            *(Path(sys.executable).with_name("selfe-eval"), "score", "--images", "images", "--allow-partial"),
            *("--detector", detector, "--detector-weights", "detector.pth", "--out", detector, "--json"),
            *("--color-weights", checkpoints_dir() / "openmoji-clip"),
        ],
        capture_output=True,
        text=True,
        cwd=workplace,
        env={**os.environ, "NO_COLOR": "1"},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result, read_journal(workplace / detector / "scores" / "geneval.jsonl")


def test_both_backends_score_a_folder_alike(runs: dict[str, Scored]) -> None:
    """The two backends, mmdet and transformers, see the same objects, and no number of theirs goes by the name of GenEval."""
    for result, records in runs.values():
        document = json.loads(result.stdout)
        assert document["partial"] is True
        assert {row["metric"] for row in document["rows"]} == {"geneval[unverified-weights+openmoji-clip]"}
        assert "missing" in result.stderr
        assert [record["prompt_id"] for record in records] == list(PROMPT_IDS)
    (_, one), (_, other) = runs.values()
    assert (
        sum(len(objects) for record in one for objects in (record["objects"] | record["weaker"]).values()) > 0
    )
    for a, b in zip(one, other, strict=True):
        for key in ("correct", "reason", "near_ties"):
            assert a[key] == b[key]
        for kind in ("objects", "weaker"):
            assert a[kind].keys() == b[kind].keys()
            for name in a[kind]:
                for mine, theirs in zip(a[kind][name], b[kind][name], strict=True):
                    assert (mine["box"], mine["color"]) == (theirs["box"], theirs["color"])
                    assert mine["score"] == pytest.approx(theirs["score"], abs=SCORE_TOLERANCE)


def test_the_references_own_files_stand_beside_the_records(workplace: Path, runs: dict[str, Scored]) -> None:
    """One line an image in ``results.jsonl``, and a summary that counts them, as the reference writes both."""
    for name in runs:
        (folder,) = (workplace / name / "reference").iterdir()
        lines = (folder / "results.jsonl").read_text().splitlines()
        assert [json.loads(line)["tag"] for line in lines] == ["single_object", "color_attr"]
        assert f"Total images: {len(PROMPT_IDS)}\n" in (folder / "summary.partial.txt").read_text()
