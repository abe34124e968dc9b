"""``selfe-eval train tiny --smoke`` for every objective, in one process, since the pictures of the world are drawn once."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from selfe.objectives.registry import OBJECTIVES
from selfe.pipeline import AnyStepPipeline
from selfe_eval.cli.train import train

VARIANTS = (
    *OBJECTIVES,
    "self_e:target=eq16",
    "self_e:aux_start=0",
    "self_e:noise_share=0.15,equal_delta=true",
    "meanflow:derivative=difference",
)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of trainings, which share their encoded scenes."""
    return tmp_path_factory.mktemp("train")


def smoke(objective: str, out: Path) -> str:
    app = typer.Typer()
    app.command()(train)
    arguments = ["tiny", "--smoke", "--objective", objective, "--out", str(out), "--device", "cpu"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout.strip()


@pytest.mark.parametrize("objective", VARIANTS)
def test_an_objective_trains_and_its_checkpoint_draws(objective: str, out: Path) -> None:
    """Twenty steps end in finite losses, a sheet of samples, and a checkpoint that names its objective and draws."""
    folder = Path(smoke(objective, out))
    losses = [json.loads(line)["loss"] for line in (folder.parent / "metrics.jsonl").read_text().splitlines()]
    pipeline = AnyStepPipeline.load(folder)

    assert losses
    assert all(math.isfinite(loss) for loss in losses)
    assert list(folder.parent.glob("samples-*.png"))
    assert pipeline.checkpoint.training["objective"] == objective.partition(":")[0]
    assert pipeline(["a photo of a red car"], [7], 2).shape == (1, 3, 64, 64)


def test_the_same_command_again_finds_the_training_done(out: Path) -> None:
    """A finished training is not trained again: its weights stay the same file."""
    weights = Path(smoke("flow_matching", out)) / "model.safetensors"
    before = weights.stat().st_mtime_ns

    assert Path(smoke("flow_matching", out)) == weights.parent
    assert weights.stat().st_mtime_ns == before
