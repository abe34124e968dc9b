"""The numbers in the documents are the numbers of the committed summaries."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfe_eval.report.markdown import leaderboard_markdown
from selfe_eval.report.summary_file import read_summary

ROOT = Path(__file__).parents[2]
MODELS = ("flow-tiny", "selfe-tiny")


def test_the_readme_shows_the_committed_summaries() -> None:
    """The README's leaderboard is the one that `leaderboard --format md` makes of results/openmoji."""
    summaries = [read_summary(ROOT / "results" / "openmoji" / model) for model in MODELS]

    assert leaderboard_markdown(summaries, []).strip() in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("model", MODELS)
def test_a_summary_belongs_to_the_bundled_checkpoint(model: str) -> None:
    """The run behind the summary used the very weights that are bundled under its name."""
    run = json.loads((ROOT / "results" / "openmoji" / model / "run.json").read_text())
    config = json.loads((ROOT / "model" / "checkpoints" / model / "config.json").read_text())
    measured = run["spec"]["checkpoint_sha256"]

    assert measured["model.safetensors"] == config["files"]["model.safetensors"]


def test_the_generators_were_trained_alike() -> None:
    """Same network, autoencoder and training record, except for the objective, the time it took and the name."""
    first, second = (
        json.loads((ROOT / "model" / "checkpoints" / model / "config.json").read_text()) for model in MODELS
    )
    differing = {"objective", "seconds"}
    records = [
        {name: value for name, value in config["training"].items() if name not in differing}
        for config in (first, second)
    ]

    assert records[0] == records[1]
    assert first["network"] == second["network"]
    assert first["autoencoder"] == second["autoencoder"]
    assert {first["training"]["objective"], second["training"]["objective"]} == {"flow_matching", "self_e"}
