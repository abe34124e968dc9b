from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
import torch

from selfe.denoiser import DenoiserConfig
from selfe.encoders.flux_autoencoder import FluxAutoencoder, FrozenAutoencoderConfig, find_autoencoder
from selfe.encoders.frozen_text import FrozenText, find_text
from selfe.encoders.places import AUTOENCODER, CLIP, T5, EncoderError, find_part, relocated, weight_hashes
from selfe.file_hash import sha256_of
from selfe.model import FrozenTextConfig
from tests.unit.selfe import frozen

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def text(frozen_encoders: Path) -> FrozenText:
    return FrozenText(find_text(frozen.text_config(frozen_encoders)))


@pytest.fixture(scope="module")
def coder(frozen_encoders: Path) -> FluxAutoencoder:
    return FluxAutoencoder(find_autoencoder(frozen.autoencoder_config(frozen_encoders)))


@pytest.fixture
def copy(frozen_encoders: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(frozen_encoders, tmp_path / "copy"))


def denoiser(text_width: int, pooled_width: int | None) -> DenoiserConfig:
    return frozen.model_config(Path(), text_width=text_width, pooled_width=pooled_width or 0).denoiser


def change_json(path: Path, **entries: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_prompts_become_token_embeddings_and_a_pooled_vector(text: FrozenText) -> None:
    """Shapes are (B, T, X), (B, T) and (B, Y); padding is masked and zero; each row has a real token."""
    c = text(["a red dog", "", "a photo of a blue cat"])

    assert c.pooled is not None
    assert c.tokens.shape == (3, frozen.NUM_TOKENS, frozen.T5_WIDTH)
    assert c.mask.sum(dim=1).tolist() == [4, 1, 7]
    assert not c.tokens[~c.mask].any()
    assert c.pooled.shape == (3, frozen.CLIP_WIDTH)
    assert {c.tokens.dtype, c.pooled.dtype} == {torch.float32}
    assert not torch.equal(c.pooled[0], c.pooled[2])


def test_a_prompt_does_not_depend_on_its_batch_or_its_padding(
    text: FrozenText, frozen_encoders: Path
) -> None:
    """Beside a longer prompt, and with more room, the same embeddings come up to rounding."""
    longer = FrozenTextConfig(t5=str(frozen_encoders), clip=str(frozen_encoders), num_tokens=20)
    alone, beside = text(["a red dog"]), text(["a red dog", "a photo of a blue cat"])
    roomy = FrozenText(find_text(longer))(["a red dog"])

    torch.testing.assert_close(alone.tokens[0], beside.tokens[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(alone.tokens[0, :4], roomy.tokens[0, :4], rtol=1e-4, atol=1e-5)


def test_long_prompts_are_cut_and_counted(frozen_encoders: Path) -> None:
    """A prompt of more than T tokens is cut to T, counted, and can be told; one of exactly T is whole."""
    text = FrozenText(find_text(frozen.text_config(frozen_encoders)))
    exact, long = "dog " * (frozen.NUM_TOKENS - 1), "dog " * frozen.NUM_TOKENS
    c = text([exact, long])

    assert c.mask.all()
    assert text.num_truncated == 1
    assert text.truncated([exact, long, ""]) == [False, True, False]


def test_the_null_prompt_is_encoded_once(text: FrozenText) -> None:
    """The empty prompt alone gives the very same tensors again, equal to its row in a batch."""
    phi = text([""])

    assert text([""]).tokens is phi.tokens
    torch.testing.assert_close(phi.tokens[0], text(["a dog", ""]).tokens[1], rtol=1e-4, atol=1e-5)


def test_the_pooled_vector_is_that_of_the_last_real_token(text: FrozenText) -> None:
    """Words beyond CLIP's 77 tokens change nothing; a word before them does."""
    start = "dog " * 40

    c = text([start, f"{start} cat", "cat dog"])
    assert c.pooled is not None
    assert torch.equal(c.pooled[0], c.pooled[1])
    assert not torch.equal(c.pooled[0], c.pooled[2])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bits_change_little(text: FrozenText, frozen_encoders: Path, dtype: torch.dtype) -> None:
    """In 16 bits the embeddings differ from those in float32 by less than 3 % of their size, and are not equal."""
    half = FrozenText(find_text(frozen.text_config(frozen_encoders)), dtype=dtype)
    expected, found = text(["a red dog"]).tokens, half(["a red dog"]).tokens

    assert 0 < (found - expected).norm() / expected.norm() < 0.03
    assert found.dtype == torch.float32


def test_encoders_saved_alone_are_those_of_a_pipeline(text: FrozenText, tmp_path: Path) -> None:
    """A directory of its own for each, model and tokenizer together, gives the same embeddings and hashes."""
    frozen.save_t5(tmp_path / "t5")
    frozen.save_clip(tmp_path / "clip")
    config = FrozenTextConfig(
        t5=str(tmp_path / "t5"), clip=str(tmp_path / "clip"), num_tokens=frozen.NUM_TOKENS
    )
    alone = FrozenText(find_text(config))

    assert torch.equal(alone(["a red dog"]).tokens, text(["a red dog"]).tokens)
    assert alone.files == text.files


def test_latents_are_standardised_with_shift_and_scale(coder: FluxAutoencoder, frozen_encoders: Path) -> None:
    """Latents are (z - shift) * scale with z the posterior's mean, 8x down in 16 channels; decoding inverts it."""
    from diffusers import AutoencoderKL

    network = AutoencoderKL.from_pretrained(frozen_encoders / "vae", low_cpu_mem_usage=False)  # type: ignore[no-untyped-call]
    images = torch.rand(2, 3, 32, 48) * 2 - 1
    with torch.no_grad():
        z = network.encode(images).latent_dist.mean
        decoded = network.decode(z).sample
    latents = coder.encode(images)

    assert latents.shape == (2, 16, 4, 6)
    torch.testing.assert_close(latents, (z - frozen.SHIFT) * frozen.SCALE)
    torch.testing.assert_close(coder.decode(latents), decoded, rtol=1e-4, atol=1e-5)
    assert torch.equal(latents, coder.encode(images))


def test_an_autoencoder_without_a_shift_shifts_by_nothing(copy: Path) -> None:
    """A configuration of before FLUX.1, whose shift_factor is null, is read with shift 0."""
    change_json(copy / "vae" / "config.json", shift_factor=None)

    assert FluxAutoencoder(find_autoencoder(frozen.autoencoder_config(copy))).shift == 0.0


def test_widths_that_do_not_fit_are_named_before_a_weight_is_read(copy: Path) -> None:
    """T5's, CLIP's and the latents' widths are compared with the denoiser's though no weights are there."""
    for weights in copy.rglob("*.safetensors"):
        weights.unlink()
    config = frozen.text_config(copy)

    assert find_text(config, denoiser(32, 24)).widths == (32, 24)
    with pytest.raises(EncoderError, match=r"T5.*config\.json says d_model 32, expected 64.*text_width"):
        find_text(config, denoiser(64, 24))
    with pytest.raises(EncoderError, match=r"CLIP.*says hidden_size 24, expected 32.*pooled_width"):
        find_text(config, denoiser(32, 32))
    with pytest.raises(EncoderError, match=r"autoencoder .*= 64, expected 16, the denoiser's token_dims"):
        find_autoencoder(frozen.autoencoder_config(copy), token_dims=16)


def test_an_autoencoder_of_another_depth_is_refused(copy: Path) -> None:
    """Three resolutions go 4x down: refused."""
    change_json(copy / "vae" / "config.json", block_out_channels=[8, 8, 8])

    with pytest.raises(EncoderError, match="8x down"):
        find_autoencoder(frozen.autoencoder_config(copy))


def test_a_missing_directory_says_what_belongs_there(tmp_path: Path) -> None:
    """A path without a directory is named, with what it should hold and the variable that can name another."""
    with pytest.raises(EncoderError, match=r"No T5 text encoder at .*nowhere.*model\.safetensors.*SELFE_T5"):
        find_part(T5, str(tmp_path / "nowhere"))


def test_missing_files_are_named(copy: Path) -> None:
    """No config.json, no weights, only pickles: each error names the file, and pickles are not read."""
    (copy / "text_encoder_2" / WEIGHTS).rename(copy / "text_encoder_2" / "pytorch_model.bin")
    (copy / "vae" / "config.json").unlink()

    with pytest.raises(
        EncoderError, match=r"lacks model\.safetensors .*pytorch_model\.bin, but pickles are not"
    ):
        weight_hashes(find_part(T5, str(copy)))
    with pytest.raises(EncoderError, match=r"no readable .*vae/config\.json: FileNotFoundError"):
        find_part(AUTOENCODER, str(copy))


def test_a_missing_tokenizer_is_named(copy: Path) -> None:
    """Without the tokenizer's files the error names their folder."""
    shutil.rmtree(copy / "tokenizer_2")

    with pytest.raises(EncoderError, match=r"tokenizer of the T5 text encoder .*tokenizer_2"):
        FrozenText(find_text(frozen.text_config(copy)))


def test_another_kind_of_network_is_refused(frozen_encoders: Path, tmp_path: Path) -> None:
    """A CLIP where T5 was named is told by its configuration; a pipeline without a T5, by its parts."""
    with pytest.raises(
        EncoderError, match="configuration of a 'clip_text_model'; that of the T5 text encoder says 't5'"
    ):
        find_part(T5, str(frozen_encoders / "text_encoder"))
    (tmp_path / "model_index.json").write_text('{"vae": ["diffusers", "AutoencoderKL"]}')
    with pytest.raises(EncoderError, match="names 0 parts of the class T5EncoderModel"):
        find_part(T5, str(tmp_path))


def test_weights_in_several_files_are_each_hashed(copy: Path) -> None:
    """The files that an index lists are what is hashed; one that is missing is named."""
    folder = copy / "text_encoder"
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    for name in names:
        shutil.copy(folder / WEIGHTS, folder / name)
    index = {"weight_map": {"first": names[0], "second": names[1], "third": names[1]}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    part = find_part(CLIP, str(copy))

    assert weight_hashes(part) == {name: sha256_of(folder / WEIGHTS) for name in names}
    (folder / names[1]).unlink()
    with pytest.raises(EncoderError, match="lacks model-00002-of-00002"):
        weight_hashes(part)


def test_an_index_that_leads_out_of_its_folder_is_refused(copy: Path) -> None:
    """A weight map names files beside it, nothing above."""
    index = copy / "text_encoder" / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"first": "../model.safetensors"}}')

    with pytest.raises(EncoderError, match=r"should map weights to \.safetensors files beside it"):
        weight_hashes(find_part(CLIP, str(copy)))


def test_weights_that_lack_a_tensor_are_refused(copy: Path) -> None:
    """A tensor that is not in the file is an error, never a random one."""
    from safetensors.torch import load_file, save_file

    path = copy / "text_encoder" / WEIGHTS
    tensors = load_file(path)
    name = next(name for name in tensors if "final_layer_norm.weight" in name)
    save_file({key: value for key, value in tensors.items() if key != name}, path, metadata={"format": "pt"})

    with pytest.raises(EncoderError, match=r"lack 1 tensors, such as .*final_layer_norm"):
        FrozenText(find_text(frozen.text_config(copy)))


def test_other_weights_than_a_checkpoint_was_trained_with_are_refused(copy: Path) -> None:
    """Hashes that a checkpoint states are compared before anything is loaded; the equal ones pass."""
    part = find_part(CLIP, str(copy))
    files = weight_hashes(part)

    assert weight_hashes(part, files) == files == {WEIGHTS: sha256_of(copy / "text_encoder" / WEIGHTS)}
    with pytest.raises(EncoderError, match=r"not the one that the model was trained with.*SELFE_CLIP"):
        weight_hashes(part, {WEIGHTS: "0" * 64})


def test_the_environment_says_where_encoders_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """SELFE_T5 takes the place of what is named for T5, and of nothing else."""
    monkeypatch.setenv("SELFE_T5", "/models/t5")

    assert relocated(T5, "owner/t5") == "/models/t5"
    assert relocated(CLIP, "owner/clip") == "owner/clip"


def test_a_hub_that_cannot_be_reached_is_a_clear_error(tmp_path: Path) -> None:
    """Offline and not in the cache: the error names the reason and the command that would fetch it."""
    program = (
        "from selfe.encoders.places import T5, EncoderError, find_part\n"
        "try:\n    find_part(T5, 'owner/name')\nexcept EncoderError as error:\n    print(error)"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )

    assert "'owner/name' is no directory here, and the hub did not give it" in result.stdout
    assert "hf download owner/name" in result.stdout
    assert "SELFE_T5" in result.stdout


def test_a_hub_name_is_read_from_the_hubs_cache(frozen_encoders: Path, tmp_path: Path) -> None:
    """A repository that lies in the hub's cache is found by its name without a network, and hashed."""
    repository = tmp_path / "hub" / "models--owner--flux"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    shutil.copytree(frozen_encoders, repository / "snapshots" / ("0" * 40))
    program = (
        "from selfe.encoders.places import T5, find_part, weight_hashes\n"
        "part = find_part(T5, 'owner/flux')\nprint(part.place, part.size('d_model'), *weight_hashes(part).values())"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )

    sha256 = sha256_of(frozen_encoders / "text_encoder_2" / WEIGHTS)
    assert result.stdout.split() == ["owner/flux", str(frozen.T5_WIDTH), sha256]


@pytest.mark.parametrize("subfolder", ["", "pipeline"])
def test_what_a_hub_name_needs_is_fetched_and_no_more(
    subfolder: str, frozen_encoders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Configuration, tokenizer (of CLIP vocab.json and merges.txt) and safetensors come from the hub; pickles do not."""
    remote, fetched = tmp_path / "remote", tmp_path / "fetched"
    if subfolder:
        shutil.copytree(frozen_encoders, remote)
    else:
        frozen.save_clip(remote)
    (remote / "pytorch_model.bin").write_bytes(b"")

    def snapshot_download(_: str, *, allow_patterns: list[str]) -> str:
        names = [path.relative_to(remote).as_posix() for path in remote.rglob("*") if path.is_file()]
        for chosen in (name for name in names if any(fnmatch(name, pattern) for pattern in allow_patterns)):
            (fetched / chosen).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(remote / chosen, fetched / chosen)
        return str(fetched)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    part = find_part(CLIP, "owner/clip")
    weight_hashes(part)

    assert (part.tokenizer / "merges.txt").is_file()
    assert (part.tokenizer / "vocab.json").is_file()
    assert [path.parent for path in fetched.rglob("*.safetensors")] == [part.folder]
    assert not list(fetched.rglob("*.bin"))


@pytest.mark.parametrize(
    "parts", [{"../text_encoder": ["transformers", "CLIPTextModel"]}, {"text_encoder": []}]
)
def test_parts_of_a_pipeline_lie_in_its_folder(copy: Path, parts: dict[str, list[str]]) -> None:
    """A part that lies elsewhere, or is of no class, is an error before anything of it is read."""
    (copy / "vae" / "model_index.json").write_text(json.dumps(parts))

    with pytest.raises(EncoderError, match=r"model_index\.json (should name parts in folders|names 0 parts)"):
        find_part(CLIP, str(copy / "vae"))


@pytest.mark.parametrize("place", ["a/b/c", "", "-x/y", "bad name"])
def test_what_is_neither_a_directory_nor_a_hub_name_is_refused(place: str) -> None:
    """Nothing that cannot be a hub name is ever asked of the hub."""
    with pytest.raises(EncoderError, match="expected a directory of this machine, or a hub name"):
        find_autoencoder(FrozenAutoencoderConfig(frozen=place))
