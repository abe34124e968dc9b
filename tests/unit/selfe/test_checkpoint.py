from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from selfe.autoencoder import Autoencoder, AutoencoderConfig
from selfe.checkpoint import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    Checkpoint,
    CheckpointError,
    load_checkpoint,
    save_checkpoint,
)
from selfe.model import ConditionalModel
from selfe.pipeline import AnyStepPipeline
from selfe.sampler import SamplerOptions
from tests.unit.selfe import tiny


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    model = ConditionalModel(tiny.config())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    checkpoint = Checkpoint(
        name="tiny",
        suite="openmoji",
        model=model,
        autoencoder=Autoencoder(AutoencoderConfig(encoder_widths=(8, 8, 8), decoder_widths=(8, 8, 8))),
        sampler=SamplerOptions(guidance=2.0, s_schedule=0.5),
        training={"images_seen": 0},
        sha256="",
    )
    save_checkpoint(tmp_path / "tiny", checkpoint)
    return tmp_path / "tiny"


def test_a_checkpoint_comes_back_as_it_was_saved(folder: Path) -> None:
    """Weights return to 16-bit precision, configuration and sampler defaults exactly."""
    loaded = load_checkpoint(folder)
    again = folder.parent / "again"
    save_checkpoint(again, loaded)

    assert loaded.sampler == SamplerOptions(guidance=2.0, s_schedule=0.5)
    assert loaded.model.config == tiny.config()
    assert (again / CONFIG_FILE).read_text() == (folder / CONFIG_FILE).read_text()


def test_a_cut_or_changed_weights_file_is_refused(folder: Path) -> None:
    """A byte less, or another byte, changes the hash; the error names the file, both hashes and what to do."""
    path = folder / WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged.*SHA-256.*Copy the checkpoint"):
        load_checkpoint(folder)


def test_weights_of_another_size_are_refused(folder: Path) -> None:
    """A configuration that does not fit the weights is an error, not a partial load."""
    config = json.loads((folder / CONFIG_FILE).read_text())
    config["network"]["denoiser"]["num_single"] = 2
    (folder / CONFIG_FILE).write_text(json.dumps(config))

    with pytest.raises(CheckpointError, match="does not fit the sizes"):
        load_checkpoint(folder)


@pytest.mark.parametrize("content", ["", "[]", '{"format": "other/1"}', '{"format": "selfe-checkpoint/1"}'])
def test_a_broken_configuration_is_refused(folder: Path, content: str) -> None:
    """No JSON, no object, another format, no entries: each is a CheckpointError that names the file."""
    (folder / CONFIG_FILE).write_text(content)

    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_checkpoint(folder)


def test_missing_weights_are_refused(folder: Path) -> None:
    """A configuration without its weights is an error that names the file."""
    (folder / WEIGHTS_FILE).unlink()

    with pytest.raises(CheckpointError, match=r"No model\.safetensors"):
        load_checkpoint(folder)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    """A folder without config.json is an error that says what a checkpoint is."""
    with pytest.raises(CheckpointError, match="a checkpoint is a folder with"):
        load_checkpoint(tmp_path / "nowhere")


def test_a_picture_does_not_depend_on_its_batch(folder: Path) -> None:
    """Alone or in a batch of five, a prompt and its seed give the same picture up to rounding of the arithmetic."""
    pipeline = AnyStepPipeline.load(folder)
    prompts = ["a dog", "a cat", "a red dog", "two dogs", "a traffic light"]
    together = pipeline(prompts, [1, 2, 3, 4, 5], 4)
    alone = pipeline(prompts[2:3], [3], 4)

    assert together.shape == (5, 3, 32, 32)
    assert together.dtype == torch.uint8
    assert (together[2].int() - alone[0].int()).abs().max() <= 2
    assert not torch.equal(together[1], together[2])


def test_the_same_call_gives_the_same_bits(folder: Path) -> None:
    """Two calls with the same prompts, seeds and batch are equal bit for bit; another seed is another picture."""
    pipeline = AnyStepPipeline.load(folder)

    assert torch.equal(pipeline(["a dog"], [7], 3), pipeline(["a dog"], [7], 3))
    assert not torch.equal(pipeline(["a dog"], [7], 3), pipeline(["a dog"], [8], 3))


@pytest.mark.parametrize(("guidance", "expected"), [(1.0, 4), (2.0, 8)])
def test_guidance_doubles_the_evaluations(folder: Path, guidance: float, expected: int) -> None:
    """NFE counts every row that goes through the network: two a step with guidance."""
    assert AnyStepPipeline.load(folder).nfe(4, SamplerOptions(guidance=guidance)) == expected


def test_prompts_and_seeds_must_agree_in_number(folder: Path) -> None:
    """Three prompts and two seeds is an error that says both numbers."""
    with pytest.raises(ValueError, match="3 prompts and 2 seeds"):
        AnyStepPipeline.load(folder)(["a", "a", "a"], [1, 2], 1)
