from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from selfe_eval.errors import UsageError
from selfe_eval.provenance import file_sha256
from selfe_eval.resources import checkpoints_dir
from selfe_eval.score.clip_model import known_file, uses_quick_gelu
from selfe_eval.score.color_model import (
    OWN_COLORS,
    bundled_model,
    model_from_file,
    model_from_folder,
    official_file,
)
from selfe_eval.score.published_clip import VIT_L_14

TINY = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 16, "patch_size": 8, "width": 16, "head_width": 8, "layers": 1},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
}
QUICK = "selfe-eval-test-tiny-quickgelu"
PLAIN = "selfe-eval-test-tiny"


@pytest.fixture(scope="module", autouse=True)
def _tiny_architectures(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Two architectures of open_clip, alike but for their activation."""
    folder = tmp_path_factory.mktemp("architectures")
    (folder / f"{PLAIN}.json").write_text(json.dumps(TINY))
    (folder / f"{QUICK}.json").write_text(json.dumps({**TINY, "quick_gelu": True}))
    open_clip.add_model_config(folder)


def _save_weights(path: Path) -> Path:
    torch.manual_seed(0)
    path.parent.mkdir(exist_ok=True)
    save_file(open_clip.CLIP(**TINY).state_dict(), path)
    return path


def _folder(path: Path, **changes: Any) -> Path:
    """An open_clip model of a user's own."""
    _save_weights(path / "open_clip_model.safetensors")
    config = {"model_cfg": {**TINY, **changes}, "preprocess_cfg": {"size": 16}}
    (path / "open_clip_config.json").write_text(json.dumps(config))
    return path


@pytest.mark.parametrize(("name", "expected"), [(VIT_L_14.architecture, True), ("ViT-L-14", False)])
def test_the_activation_is_seen_in_the_built_network(name: str, expected: bool) -> None:  # noqa: FBT001
    """The name that GenEval's scorer asks for is built with plain GELU today; ours is not."""
    with torch.device("meta"):
        network = open_clip.CLIP(**open_clip.get_model_config(name))
    assert uses_quick_gelu(network) is expected


def test_one_plain_gelu_is_enough_to_be_found() -> None:
    """A network with QuickGELU in only one of its towers is not OpenAI's."""
    network = open_clip.CLIP(**TINY, quick_gelu=True)
    assert uses_quick_gelu(network)
    network.transformer.resblocks[0].mlp.gelu = torch.nn.GELU()
    assert not uses_quick_gelu(network)


@pytest.mark.parametrize("name", ["clip.OpenAI.safetensors", "openai/open_clip_model.safetensors"])
def test_openai_weights_in_a_plain_gelu_network_are_an_error(tmp_path: Path, name: str) -> None:
    """A file that bears OpenAI's name goes into a QuickGELU network or into none."""
    path = _save_weights(tmp_path / name)
    assert model_from_file(path, architecture=QUICK).record["color_quick_gelu"] is True
    with pytest.raises(UsageError, match=r"OpenAI's weights, which were trained with QuickGELU.*plain GELU"):
        model_from_file(path, architecture=PLAIN)


def test_the_hub_s_official_weights_in_a_plain_gelu_network_are_an_error(tmp_path: Path) -> None:
    """Whatever its name is, a file known to be OpenAI's must find QuickGELU."""
    path = _save_weights(tmp_path / "open_clip_model.safetensors")
    record = model_from_file(path, architecture=QUICK, is_official=True).record
    assert record["color_pretrained"] == "openai"
    assert "color_variant" not in record
    with pytest.raises(UsageError, match="plain GELU"):
        model_from_file(path, architecture=PLAIN, is_official=True)


def test_openai_weights_in_a_plain_gelu_folder_are_an_error(tmp_path: Path) -> None:
    """The same for a folder, whose configuration chooses the activation."""
    assert model_from_folder(_folder(tmp_path / "openai-quick", quick_gelu=True)).record["color_quick_gelu"]
    with pytest.raises(UsageError, match=r"plain GELU.*quick_gelu"):
        model_from_folder(_folder(tmp_path / "openai-plain"))


def test_weights_of_one_s_own_are_a_variant(tmp_path: Path) -> None:
    """Another model's colours are never reported as the official ones, with either activation."""
    for architecture, quick in ((QUICK, True), (PLAIN, False)):
        record = model_from_file(
            _save_weights(tmp_path / "mine.safetensors"), architecture=architecture
        ).record
        assert record["color_variant"] == OWN_COLORS
        assert record["color_model"] == architecture
        assert record["color_pretrained"] is None
        assert record["color_quick_gelu"] is quick


def test_a_bare_file_of_unknown_origin_is_refused(tmp_path: Path) -> None:
    """A weight file does not say its activation: only OpenAI's own is taken without a configuration beside it."""
    path = _save_weights(tmp_path / "mine.safetensors")
    with pytest.raises(UsageError, match="does not hold the weights of ViT-L-14-quickgelu"):
        official_file(path)
    with pytest.raises(UsageError, match=r"not OpenAI's ViT-L-14\.pt.*open_clip_config\.json"):
        known_file(path, replace(VIT_L_14, architecture=QUICK))


def test_a_file_sees_pictures_as_open_clip_would_show_them(tmp_path: Path) -> None:
    """The transform and the weights are those of open_clip's own loading, bit for bit."""
    path = _save_weights(tmp_path / "mine.safetensors")
    model = model_from_file(path, architecture=QUICK)
    network, transform = open_clip.create_model_from_pretrained(QUICK, pretrained=str(path))
    pixels = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)
    picture = model.preprocess(Image.fromarray(pixels))
    assert torch.equal(picture, transform(Image.fromarray(pixels)))
    with torch.inference_mode():
        ours = model.network.eval().encode_image(picture[None])
        assert torch.equal(ours, network.eval().encode_image(picture[None]))
    assert torch.equal(model.tokenizer(["a red kite"]), open_clip.get_tokenizer(QUICK)(["a red kite"]))


def test_a_description_says_what_a_folder_holds_and_not_where_it_lies(tmp_path: Path) -> None:
    """Scores are identified by it: equal models have equal descriptions, other settings another one."""
    one = model_from_folder(_folder(tmp_path / "one")).record
    assert one == model_from_folder(_folder(tmp_path / "two")).record
    assert one["color_variant"] == OWN_COLORS
    assert str(tmp_path) not in json.dumps(one)
    assert one != model_from_folder(_folder(tmp_path / "three", quick_gelu=True)).record


def test_a_copy_of_the_bundled_model_is_one_s_own(tmp_path: Path) -> None:
    """Only the bundled folder's settings are known to be ours; it is checked by its hash."""
    bundled = checkpoints_dir() / "openmoji-clip"
    copy = Path(shutil.copytree(bundled, tmp_path / "copy"))
    assert model_from_folder(bundled).record == bundled_model().record
    assert "color_variant" not in bundled_model().record
    assert model_from_folder(copy).record["color_variant"] == OWN_COLORS
    weights = copy / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with pytest.raises(UsageError, match="SHA-256"):
        bundled_model(copy)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    """open_clip would warn and go on with random weights; we stop."""
    (_folder(tmp_path / "clip") / "open_clip_model.safetensors").unlink()
    with pytest.raises(UsageError, match=r"holds none\. A CLIP model without trained weights"):
        model_from_folder(tmp_path / "clip")


def test_a_folder_with_two_weight_files_is_refused(tmp_path: Path) -> None:
    """Which one open_clip takes is its own affair; what is recorded must be what is used."""
    folder = _folder(tmp_path / "clip")
    _save_weights(folder / "other.safetensors")
    with pytest.raises(UsageError, match=r"open_clip_model.safetensors, other.safetensors"):
        model_from_folder(folder)


@pytest.mark.parametrize(
    "config", ["", "[]", "{}", '{"model_cfg": {}}', '{"model_cfg": {"vision_cfg": 1, "text_cfg": 2}}']
)
def test_a_broken_configuration_is_refused(tmp_path: Path, config: str) -> None:
    """Whatever open_clip makes of it, it is one paragraph that names the folder."""
    folder = _folder(tmp_path / "clip")
    (folder / "open_clip_config.json").write_text(config)
    with pytest.raises(UsageError, match="could not be loaded with trained weights"):
        model_from_folder(folder)


def test_a_folder_without_configuration_is_refused(tmp_path: Path) -> None:
    """A folder is no weight file."""
    with pytest.raises(UsageError, match=r"has no open_clip_config\.json"):
        model_from_folder(tmp_path)


@pytest.mark.parametrize("name", ["w.safetensors", "w.bin"])
def test_a_folder_with_another_network_s_weights_is_refused(tmp_path: Path, name: str) -> None:
    """Damaged or unfitting weights are an error, in both forms."""
    folder = _folder(tmp_path / "clip")
    (folder / "open_clip_model.safetensors").unlink()
    (folder / name).write_bytes(b"not weights")
    with pytest.raises(UsageError, match="could not be loaded with trained weights"):
        model_from_folder(folder)


def _offline(home: Path) -> str:
    """What asking for the official model says, where the hub cannot be reached and nothing of it is cached."""
    code = "from selfe_eval.score.color_model import official_model; official_model()"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HOME": str(home)}
    environment |= {"HF_HOME": str(home), "HF_HUB_CACHE": str(home)}
    done = subprocess.run(  # noqa: PLW1510 - it must fail
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1
    return done.stderr


def test_without_network_and_cache_the_error_says_where_to_get_the_weights(tmp_path: Path) -> None:
    """The official weights are named with their address, their hash and the option that takes the file."""
    said = _offline(tmp_path)
    assert "selfe_eval.errors.UsageError: The weights of GenEval's colour model" in said
    assert "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836/ViT-L-14.pt" in said
    assert "--color-weights ViT-L-14.pt" in said


def test_without_network_the_clip_package_s_copy_is_taken(tmp_path: Path) -> None:
    """What lies at ~/.cache/clip is read, under the same rules as any file: this one is none."""
    kept = tmp_path / ".cache" / "clip" / "ViT-L-14.pt"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"not weights")
    assert f"{kept} cannot be read as weights of a CLIP model" in _offline(tmp_path)


def test_a_damaged_file_in_the_hub_s_cache_is_refused(tmp_path: Path) -> None:
    """The cache names a file by its SHA-256; other bytes under that name are not the official weights."""
    whole = _save_weights(tmp_path / "w.safetensors")
    for name, is_whole in ((file_sha256(whole), True), ("0" * 64, False)):
        blob = tmp_path / "blobs" / name
        blob.parent.mkdir(exist_ok=True)
        shutil.copy(whole, blob)
        link = tmp_path / f"{name}.safetensors"
        link.symlink_to(blob)
        if is_whole:
            assert model_from_file(link, architecture=QUICK, is_official=True).record["color_pretrained"]
        else:
            with pytest.raises(UsageError, match="is damaged"):
                model_from_file(link, architecture=QUICK, is_official=True)
