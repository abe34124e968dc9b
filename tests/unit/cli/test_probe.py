from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner, Result

from selfe.autoencoder import Autoencoder, AutoencoderConfig
from selfe.checkpoint import Checkpoint, save_checkpoint
from selfe.denoiser import DenoiserConfig
from selfe.model import ConditionalModel, ModelConfig
from selfe.sampler import SamplerOptions
from selfe_eval.cli.probe import probe
from selfe_eval.errors import UsageError
from selfe_eval.train.vocabulary import text_config


def invoke(*arguments: str | Path) -> Result:
    """Run the verb alone, on the CPU."""
    app = typer.Typer()
    app.command()(probe)
    return CliRunner().invoke(app, [*map(str, arguments), "--device", "cpu"])


def made(folder: Path, *, seed: int, autoencoder_seed: int = 0) -> Path:
    """A checkpoint of the openmoji vocabulary with random weights of this seed."""
    torch.manual_seed(autoencoder_seed)
    autoencoder = Autoencoder(AutoencoderConfig(encoder_widths=(8, 8, 8), decoder_widths=(8, 8, 8)))
    torch.manual_seed(seed)
    text = text_config()
    network = DenoiserConfig(
        width=32,
        num_heads=2,
        num_double=1,
        num_single=1,
        rope_dims=(4, 6, 6),
        text_width=text.width,
        grid=(4, 4),
        modulation="shared",
    )
    model = ConditionalModel(ModelConfig(denoiser=network, text=text, parametrisation="x0"))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    save_checkpoint(
        folder,
        Checkpoint(
            name=folder.name,
            suite="openmoji",
            model=model,
            autoencoder=autoencoder,
            sampler=SamplerOptions(),
            training={"steps": 7, "objective": "none"},
            sha256="",
        ),
    )
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A student and a teacher of one latent space, and a model of another."""
    folder = tmp_path_factory.mktemp("probed")
    return {
        "student": made(folder / "student", seed=1),
        "teacher": made(folder / "teacher", seed=2),
        "stranger": made(folder / "stranger", seed=2, autoencoder_seed=5),
    }


def test_a_teacher_agrees_with_itself_and_not_with_a_stranger(
    models: dict[str, Path], tmp_path: Path
) -> None:
    """Of two checkpoints, one the teacher itself: that one has cosine, ratio and share 1, the other a small cosine."""
    out = tmp_path / "probe"
    command: tuple[str | Path, ...] = (
        "--ckpt",
        models["student"],
        "--ckpt",
        models["teacher"],
        "--teacher",
        models["teacher"],
    )
    command = (*command, "--scenes", "8", "--pictures", "2", "--times", "0.9,0.5", "--out", out, "--json")
    result = invoke(*command)
    document = json.loads(result.stdout.splitlines()[0])
    student, teacher = document["checkpoints"]

    assert [row["s"] for row in teacher["rows"]] == [0.5, 0.9]
    for row in teacher["rows"]:
        assert [row[m]["value"] for m in ("cosine", "norm_ratio", "energy_share")] == pytest.approx([1.0] * 3)
    assert all(abs(row["cosine"]["value"]) < 0.7 and row["cosine"]["n"] == 8 for row in student["rows"])
    assert sorted(path.name for path in out.glob("*.png")) == [
        "pictures-1-student.png",
        "pictures-2-teacher.png",
    ]
    assert json.loads((out / "result.json").read_text()) == document
    assert invoke(*command).stdout == result.stdout

    other = invoke(*command, "--seed", "3")
    assert isinstance(other.exception, UsageError)
    assert "other settings" in str(other.exception)


def test_models_of_other_latents_or_words_are_refused(
    models: dict[str, Path], random_checkpoint: Path, tmp_path: Path
) -> None:
    """Another autoencoder, and a vocabulary that lacks the scenes' words, are named before anything is measured."""
    latents = invoke("--ckpt", models["stranger"], "--teacher", models["teacher"], "--out", tmp_path / "a")
    words = invoke("--ckpt", random_checkpoint, "--teacher", random_checkpoint, "--out", tmp_path / "b")

    assert isinstance(latents.exception, UsageError)
    assert "autoencoders have other weights" in str(latents.exception)
    assert isinstance(words.exception, UsageError)
    assert "does not know" in str(words.exception)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--times", "0,0.5"), "found '0'"),
        (("--times", "0.5,0.50"), "each value once"),
        (("--times", "nan"), "found 'nan'"),
        (("--start", "0.3"), "from 0.9"),
        (("--teacher", "flow-tyni"), "checkpoint"),
    ],
)
def test_what_cannot_be_probed_is_a_usage_error(
    arguments: tuple[str, ...], complaint: str, models: dict[str, Path], tmp_path: Path
) -> None:
    """Bad times, a start before them, and an unknown teacher are named before anything is made."""
    result = invoke("--ckpt", models["student"], "--out", tmp_path / "out", *arguments)

    assert isinstance(result.exception, UsageError)
    assert complaint in str(result.exception)
    assert not (tmp_path / "out").exists()
