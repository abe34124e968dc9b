from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from selfe.checkpoint import Checkpoint, save_checkpoint
from selfe.model import ConditionalModel
from selfe.sampler import SamplerOptions
from selfe_eval.errors import UsageError
from selfe_eval.generate.checkpoints import find_checkpoint
from selfe_eval.generate.overrides import SamplerOverrides
from selfe_eval.generate.selfe_checkpoint import load_selfe_generator
from selfe_eval.provenance import file_sha256
from tests.unit.selfe import frozen

VAE_WEIGHTS = "diffusion_pytorch_model.safetensors"
PROMPTS = ["a photo of a dog", "a photo of a red dog"]


def test_a_checkpoint_draws_rgb_images_and_the_same_ones_again(random_checkpoint: Path) -> None:
    """Images are uint8 (B, H, W, 3); the same seeds give the same bits, other seeds give others."""
    generator = load_selfe_generator(find_checkpoint(str(random_checkpoint)), SamplerOverrides())
    first = generator.generate(PROMPTS, [1, 2], 2)
    assert first.shape == (2, 64, 64, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, generator.generate(PROMPTS, [1, 2], 2))
    assert not np.array_equal(first, generator.generate(PROMPTS, [1, 3], 2))


def test_a_prompt_that_is_too_long_is_a_usage_error(random_checkpoint: Path) -> None:
    """A rewritten prompt of more tokens than the model reads is named; nothing is cut off in silence."""
    generator = load_selfe_generator(find_checkpoint(str(random_checkpoint)), SamplerOverrides())
    with pytest.raises(UsageError, match=r"has 25 tokens, the model reads at most 24: 'dog dog .*--prompts"):
        generator.generate(["a dog", "dog " * 25], [1, 2], 1)


def test_overrides_reach_the_sampler(random_checkpoint: Path) -> None:
    """Guidance 1 halves the network evaluations, and the description says what was used."""
    checkpoint = find_checkpoint(str(random_checkpoint))
    assert load_selfe_generator(checkpoint, SamplerOverrides()).nfe(4) == 8
    changed = load_selfe_generator(checkpoint, SamplerOverrides(guidance=1.0, s_schedule="0.5"))
    assert changed.nfe(4) == 4
    assert changed.describe()["sampler"]["s_schedule"] == 0.5


def test_a_list_of_second_times_is_drawn_and_described(random_checkpoint: Path) -> None:
    """A list that fits is drawn and written as JSON has it; one outside its step is a usage error that names the step."""
    checkpoint = find_checkpoint(str(random_checkpoint))
    listed = load_selfe_generator(
        checkpoint, SamplerOverrides(s_schedule="0.7,0", warp=0.0, negative_prompt="red")
    )
    listed.generate(PROMPTS, [1, 2], 2)
    described = listed.describe()["sampler"]
    assert described == json.loads(json.dumps(described))
    assert (described["s_schedule"], described["negative_prompt"]) == ([0.7, 0.0], "red")
    outside = load_selfe_generator(checkpoint, SamplerOverrides(s_schedule="0.3,0", warp=0.0))
    with pytest.raises(UsageError, match=r"random cannot draw so: .*step 1 of 2 goes from t = 1 to 0\.5"):
        outside.generate(PROMPTS, [1, 2], 2)


def test_changes_that_do_not_fit_the_checkpoints_own_options_are_refused(
    random_checkpoint: Path, tmp_path: Path
) -> None:
    """A checkpoint that samples without guidance takes no negative prompt; the error comes while loading."""
    folder = Path(shutil.copytree(random_checkpoint, tmp_path / "copy"))
    config = json.loads((folder / "config.json").read_text())
    config["sampler"]["guidance"] = 1.0
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=r"options of random .* it takes guidance above 1"):
        load_selfe_generator(find_checkpoint(str(folder)), SamplerOverrides(negative_prompt="red"))


def test_weights_of_another_network_are_a_usage_error(random_checkpoint: Path, tmp_path: Path) -> None:
    """A checkpoint whose files do not fit together ends in our error, not in a traceback."""
    folder = Path(shutil.copytree(random_checkpoint, tmp_path / "copy"))
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace('"num_layers": 1', '"num_layers": 2'))
    with pytest.raises(UsageError, match="does not fit"):
        load_selfe_generator(find_checkpoint(str(folder)), SamplerOverrides())


@pytest.mark.parametrize("entry", ["network", "autoencoder", "sampler", "training"])
def test_a_config_that_lacks_an_entry_is_a_usage_error(
    random_checkpoint: Path, tmp_path: Path, entry: str
) -> None:
    """A config.json of the right format without its sizes or options ends in our error, which names the file."""
    folder = Path(shutil.copytree(random_checkpoint, tmp_path / "copy"))
    config = json.loads((folder / "config.json").read_text())
    del config[entry]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=rf"config\.json lacks .*{entry}"):
        load_selfe_generator(find_checkpoint(str(folder)), SamplerOverrides())


def frozen_checkpoint(folder: Path, place: Path) -> Path:
    """A checkpoint over frozen encoders at a place."""
    save_checkpoint(
        folder,
        Checkpoint(
            name="frozen",
            suite=None,
            model=ConditionalModel(frozen.model_config(place)),
            autoencoder=frozen.autoencoder_config(place),
            sampler=SamplerOptions(),
            training={},
            sha256="",
        ),
    )
    return folder


def test_every_weight_file_of_a_frozen_encoder_is_named(frozen_encoders: Path, tmp_path: Path) -> None:
    """The description gives the SHA-256 of the weights of T5, CLIP and autoencoder."""
    checkpoint = find_checkpoint(str(frozen_checkpoint(tmp_path / "frozen", frozen_encoders)))
    described = load_selfe_generator(checkpoint, SamplerOverrides()).describe()["encoders"]

    assert described == {
        "t5": {"model.safetensors": file_sha256(frozen_encoders / "text_encoder_2" / "model.safetensors")},
        "clip": {"model.safetensors": file_sha256(frozen_encoders / "text_encoder" / "model.safetensors")},
        "autoencoder": {VAE_WEIGHTS: file_sha256(frozen_encoders / "vae" / VAE_WEIGHTS)},
    }


def test_a_frozen_encoder_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    """The error names the place and the variable that can name another."""
    checkpoint = find_checkpoint(str(frozen_checkpoint(tmp_path / "frozen", tmp_path / "nowhere")))

    with pytest.raises(UsageError, match=r"No T5 text encoder at .*nowhere.*SELFE_T5"):
        load_selfe_generator(checkpoint, SamplerOverrides())


def test_a_model_without_frozen_encoders_names_none(random_checkpoint: Path) -> None:
    """Its description has no entry for them, so records from before stay what they were."""
    generator = load_selfe_generator(find_checkpoint(str(random_checkpoint)), SamplerOverrides())

    assert "encoders" not in generator.describe()
