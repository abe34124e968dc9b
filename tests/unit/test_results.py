"""The numbers in the documents are the numbers of the committed summaries."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfe_eval.report.entry import read_entry
from selfe_eval.report.markdown import leaderboard_markdown
from selfe_eval.report.measures_markdown import entries_markdown
from selfe_eval.report.published import published_rows
from selfe_eval.report.published_ablations import published_ablations
from selfe_eval.report.ranks import ranked

ROOT = Path(__file__).parents[2]
MODELS = ("flow-tiny", "selfe-tiny")


def test_the_readme_shows_the_committed_summaries() -> None:
    """The README's leaderboard is the one that `leaderboard --format md` makes of results/openmoji."""
    entries = ranked([read_entry(ROOT / "results" / "openmoji" / model) for model in MODELS])

    assert leaderboard_markdown(entries, []).strip() in (ROOT / "README.md").read_text()


def test_the_leaderboard_is_what_its_command_gives() -> None:
    """results/LEADERBOARD.md is the output of `selfe-eval leaderboard results/openmoji/* --format md`."""
    folders = sorted(path for path in (ROOT / "results" / "openmoji").iterdir() if path.is_dir())
    entries = ranked([read_entry(folder) for folder in folders])
    text = entries_markdown(entries, published_rows(), published_ablations())

    assert (ROOT / "results" / "LEADERBOARD.md").read_text(encoding="utf-8") == text


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
    differing = {"objective", "objective_options", "seconds"}
    records = [
        {name: value for name, value in config["training"].items() if name not in differing}
        for config in (first, second)
    ]

    assert records[0] == records[1]
    assert first["network"] == second["network"]
    assert first["autoencoder"] == second["autoencoder"]
    assert {first["training"]["objective"], second["training"]["objective"]} == {"flow_matching", "self_e"}
