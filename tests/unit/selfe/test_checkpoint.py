from __future__ import annotations

import json
from collections.abc import Mapping
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from selfe.autoencoder import Autoencoder, AutoencoderConfig
from selfe.checkpoint import (
    CONFIG_FILE,
    PENDING,
    WEIGHTS_FILE,
    Checkpoint,
    CheckpointError,
    load_checkpoint,
    save_checkpoint,
)
from selfe.encoders.frozen_text import FrozenText, find_text
from selfe.encoders.places import EncoderError
from selfe.model import ConditionalModel
from selfe.pipeline import AnyStepPipeline
from selfe.sampler import SamplerOptions
from tests.unit.selfe import frozen, tiny


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


@pytest.mark.parametrize(
    ("entry", "value", "reason"),
    [
        (("network", "parametrisation"), "eps", "parametrisation must be one of x0, v; got 'eps'"),
        (("network", "denoiser", "modulation"), "none", "modulation must be one of per_block, shared"),
        (("network", "denoiser", "num_heads"), 0, "ZeroDivisionError"),
        (("network", "denoiser"), None, "The entry 'network' of"),
        (("autoencoder", "encoder_widths"), None, "The entry 'autoencoder' of"),
        (("sampler", "later"), 1, "The entry 'sampler' of"),
        (("sampler", "eta"), "high", "The entry 'sampler' of"),
        (("files",), [], "should name model.safetensors"),
    ],
)
def test_options_of_another_version_are_refused(
    folder: Path, entry: tuple[str, ...], value: Any, reason: str
) -> None:
    """What cannot be read as this version reads it is a CheckpointError with a reason, never another network."""
    config = json.loads((folder / CONFIG_FILE).read_text())
    *path, last = entry
    reduce(getitem, path, config)[last] = value
    (folder / CONFIG_FILE).write_text(json.dumps(config))

    with pytest.raises(CheckpointError, match=reason):
        load_checkpoint(folder)


def test_a_kill_between_the_two_renames_is_named(folder: Path) -> None:
    """New weights beside the older configuration are refused, and the message leads to the newer configuration."""
    newer = folder.parent / "newer"
    loaded = load_checkpoint(folder)
    with torch.no_grad():
        next(loaded.model.parameters()).add_(1.0)
    save_checkpoint(newer, loaded)
    (newer / WEIGHTS_FILE).replace(folder / WEIGHTS_FILE)
    pending = folder / f"{CONFIG_FILE}{PENDING}"
    (newer / CONFIG_FILE).replace(pending)

    with pytest.raises(CheckpointError, match=r"config\.json\.pending is the configuration of these weights"):
        load_checkpoint(folder)
    pending.replace(folder / CONFIG_FILE)
    assert load_checkpoint(folder).name == "tiny"


def test_a_checkpoint_is_replaced_whole(folder: Path) -> None:
    """Saving over an older checkpoint leaves two files that belong together, and no others."""
    loaded = load_checkpoint(folder)
    with torch.no_grad():
        next(loaded.model.parameters()).add_(1.0)
    save_checkpoint(folder, loaded)

    assert {path.name for path in folder.iterdir()} == {CONFIG_FILE, WEIGHTS_FILE}
    assert load_checkpoint(folder).sha256 != loaded.sha256


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 7e4])
def test_weights_that_float16_cannot_hold_are_never_written(folder: Path, value: float) -> None:
    """A diverged model is an error that names the weight, and the checkpoint that is there stays as it was."""
    loaded = load_checkpoint(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with torch.no_grad():
        loaded.model.denoiser.image_out.bias[0] = value

    with pytest.raises(CheckpointError, match=r"model\.denoiser\.image_out\.bias holds a number that is NaN"):
        save_checkpoint(folder, loaded)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_loaded_weights_can_be_trained_on(folder: Path) -> None:
    """Every loaded weight is float32 on its device, in eval mode, and takes gradients."""
    model = load_checkpoint(folder).model

    assert {(p.dtype, p.device.type, p.requires_grad) for p in model.parameters()} == {
        (torch.float32, "cpu", True)
    }
    assert not model.training


def frozen_checkpoint(place: Path, encoders: Mapping[str, Mapping[str, str]]) -> Checkpoint:
    """A tiny denoiser that reads frozen encoders at a place."""
    torch.manual_seed(4)
    return Checkpoint(
        name="frozen",
        suite=None,
        model=ConditionalModel(frozen.model_config(place)),
        autoencoder=frozen.autoencoder_config(place),
        sampler=SamplerOptions(guidance=2.0),
        training={},
        sha256="",
        encoders=encoders,
    )


@pytest.fixture
def frozen_folder(frozen_encoders: Path, tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "frozen", frozen_checkpoint(frozen_encoders, {}))
    return tmp_path / "frozen"


@pytest.mark.parametrize("num_steps", [1, 2])
def test_a_checkpoint_over_frozen_encoders_draws(
    frozen_folder: Path, frozen_encoders: Path, num_steps: int
) -> None:
    """The folder holds the denoiser alone; the pipeline finds, hashes and uses the encoders that it names."""
    pipeline = AnyStepPipeline.load(frozen_folder)
    images = pipeline(["a red dog", "a blue cat"], [1, 2], num_steps)
    config = json.loads((frozen_folder / CONFIG_FILE).read_text())

    assert images.shape == (2, 3, 32, 32)
    assert torch.equal(images, pipeline(["a red dog", "a blue cat"], [1, 2], num_steps))
    assert config["network"]["text"]["t5"] == config["autoencoder"]["frozen"] == str(frozen_encoders)
    assert set(pipeline.encoder_files) == {"t5", "clip", "autoencoder"}
    assert set(load_file(frozen_folder / WEIGHTS_FILE)) == {
        f"model.{name}" for name in pipeline.checkpoint.model.state_dict()
    }


def test_a_prompt_for_frozen_encoders_is_cut_and_counted(frozen_folder: Path) -> None:
    """A prompt of more tokens than the model reads draws all the same; the pipeline counts it."""
    pipeline = AnyStepPipeline.load(frozen_folder)
    pipeline(["dog " * 20, "a dog"], [1, 2], 1)

    assert pipeline.num_truncated == 1


def test_encoders_are_found_before_the_weights_are_read(frozen_encoders: Path, tmp_path: Path) -> None:
    """A width that does not fit is named although the checkpoint's own weights are gone."""
    folder = tmp_path / "frozen"
    save_checkpoint(folder, frozen_checkpoint(frozen_encoders, {}))
    config = json.loads((folder / CONFIG_FILE).read_text())
    config["network"]["denoiser"]["text_width"] = 4096
    (folder / CONFIG_FILE).write_text(json.dumps(config))
    (folder / WEIGHTS_FILE).unlink()

    with pytest.raises(EncoderError, match="d_model 32, expected 4096"):
        AnyStepPipeline.load(folder)


def test_a_checkpoint_that_moved_finds_its_encoders_through_the_environment(
    frozen_encoders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the named place is not there, the error names the variable; with all three set, it draws."""
    save_checkpoint(tmp_path / "moved", frozen_checkpoint(Path("/elsewhere/flux"), {}))

    with pytest.raises(EncoderError, match=r"/elsewhere/flux.*SELFE_T5"):
        AnyStepPipeline.load(tmp_path / "moved")
    for name in ("SELFE_T5", "SELFE_CLIP", "SELFE_AUTOENCODER"):
        monkeypatch.setenv(name, str(frozen_encoders))
    assert AnyStepPipeline.load(tmp_path / "moved")([""], [1], 1).shape == (1, 3, 32, 32)


def test_a_directory_is_saved_by_its_absolute_path(
    frozen_encoders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Encoders that were named relative to a working directory are found from any other."""
    monkeypatch.chdir(frozen_encoders.parent)
    save_checkpoint(tmp_path / "relative", frozen_checkpoint(Path(frozen_encoders.name), {}))
    monkeypatch.chdir(tmp_path)
    config = json.loads((tmp_path / "relative" / CONFIG_FILE).read_text())

    named = {
        config["network"]["text"]["t5"],
        config["network"]["text"]["clip"],
        config["autoencoder"]["frozen"],
    }
    assert named == {str(frozen_encoders.resolve())}


def test_other_encoders_than_the_trained_ones_are_refused(frozen_encoders: Path, tmp_path: Path) -> None:
    """A checkpoint that states its encoders' hashes draws with these and with no others."""
    files = FrozenText(find_text(frozen.text_config(frozen_encoders))).files
    save_checkpoint(tmp_path / "same", frozen_checkpoint(frozen_encoders, files))
    other = {**files, "autoencoder": {"diffusion_pytorch_model.safetensors": "0" * 64}}
    save_checkpoint(tmp_path / "other", frozen_checkpoint(frozen_encoders, other))

    assert AnyStepPipeline.load(tmp_path / "same").encoder_files.items() >= files.items()
    with pytest.raises(EncoderError, match=r"autoencoder .*is not the one that the model was trained with"):
        AnyStepPipeline.load(tmp_path / "other")


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
