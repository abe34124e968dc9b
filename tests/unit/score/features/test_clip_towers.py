from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.transforms.functional import center_crop  # type: ignore[import-untyped]

from selfe_eval.errors import UsageError
from selfe_eval.provenance import file_sha256, json_sha256
from selfe_eval.resources import checkpoints_dir
from selfe_eval.runs.scores import protocol_of
from selfe_eval.score.clip_model import model_from_file, uses_quick_gelu
from selfe_eval.score.detectors.protocol import RgbImages
from selfe_eval.score.features.clip_towers import load_openmoji, load_published, square
from selfe_eval.score.features.protocol import extractor_id
from selfe_eval.score.features.registry import EXTRACTORS, load_extractor
from selfe_eval.score.published_clip import (
    OPENAI,
    VIT_B_32,
    VIT_G_14,
    VIT_L_14,
    VIT_L_14_336,
    OpenAiFile,
    PublishedClip,
    find_on_disk,
)

TINY = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 16, "patch_size": 8, "width": 16, "head_width": 8, "layers": 1},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
}
QUICK = "selfe-eval-test-towers-quickgelu"
PIXELS = np.random.default_rng(0).integers(0, 256, (11, 37, 53, 3), np.uint8)


@pytest.fixture(scope="module", autouse=True)
def _tiny_architecture(tmp_path_factory: pytest.TempPathFactory) -> None:
    """An architecture of open_clip that OpenAI's weights could have been trained in."""
    folder = tmp_path_factory.mktemp("architectures")
    (folder / f"{QUICK}.json").write_text(json.dumps({**TINY, "quick_gelu": True}))
    open_clip.add_model_config(folder)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Random weights of the tiny architecture; only a test may call them published."""
    torch.manual_seed(0)
    path = tmp_path / "ViT-tiny.safetensors"
    save_file(open_clip.CLIP(**TINY).state_dict(), path)
    return path


def _published(weights: Path) -> PublishedClip:
    """What a table would say if these weights were OpenAI's."""
    file = OpenAiFile(name=weights.name, sha256=file_sha256(weights))
    return PublishedClip(architecture=QUICK, pretrained=OPENAI, hub="nobody/nothing", file=file)


def test_images_are_seen_as_open_clip_shows_them() -> None:
    """Vectors are those of open_clip's own loading, transform and network, in order."""
    towers = load_openmoji("cpu", None)
    folder = checkpoints_dir() / "openmoji-clip"
    network, transform = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    with torch.inference_mode():
        pictures = torch.stack([transform(Image.fromarray(image)) for image in PIXELS])
        expected = network.eval().encode_image(pictures).numpy()
    found = towers.extract(RgbImages(pixels=PIXELS))
    assert found.shape == (11, towers.width) == (11, 64)
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert not np.allclose(np.linalg.norm(found, axis=1), 1.0)


def test_company_does_not_matter() -> None:
    """An image has the same vector alone as among others, rounding aside."""
    towers = load_openmoji("cpu", None)
    together = towers.extract(RgbImages(pixels=PIXELS))
    alone = np.concatenate([towers.extract(RgbImages(pixels=image[None])) for image in PIXELS])
    assert alone == pytest.approx(together, rel=1e-4, abs=1e-5)
    assert towers.extract(RgbImages(pixels=PIXELS[:0])).shape == (0, 64)


def test_a_text_is_truncated_where_its_last_word_no_longer_fits() -> None:
    """Of 32 tokens two are start and end: 30 words fit, the 31st is not read, and that is said."""
    towers = load_openmoji("cpu", None)
    read = towers.read(["a photo of a dog", "dog " * 30, "dog " * 31, "dog " * 40])
    assert read.truncated.tolist() == [False, False, True, True]
    assert read.features.shape == (4, 64)
    assert np.array_equal(read.features[2], read.features[3])
    assert read.features[1] == pytest.approx(read.features[2], abs=1e-5)
    assert towers.read([]).features.shape == (0, 64)


def test_texts_beyond_one_batch_keep_their_order() -> None:
    """Many texts have the vectors that each has alone."""
    towers = load_openmoji("cpu", None)
    texts = [f"a photo of {number} dogs" for number in range(300)]
    read = towers.read(texts)
    for number in (0, 255, 256, 299):
        assert read.features[number] == pytest.approx(towers.read([texts[number]]).features[0], abs=1e-5)


def test_a_description_names_model_weights_and_resize_and_no_place() -> None:
    """What decides the vectors is in it; the device decides nothing."""
    towers = load_openmoji("cpu", None)
    description = towers.describe()
    assert description["extractor"] == "openmoji-clip"
    assert description["weights_sha256"] == file_sha256(
        checkpoints_dir() / "openmoji-clip" / "open_clip_model.safetensors"
    )
    assert (description["quick_gelu"], description["context_length"]) == (False, 32)
    assert "variant" not in description
    assert str(checkpoints_dir()) not in json.dumps(description)
    assert extractor_id(towers) == extractor_id(load_openmoji("cpu", None))


def test_the_release_of_open_clip_identifies_published_models_alone(weights: Path) -> None:
    """The bundled model is known by weights and configuration; its release is kept, and decides no comparison."""
    bundled, published = (
        load_openmoji("cpu", None),
        load_published("tiny", _published(weights), "cpu", weights),
    )
    protocol = protocol_of(bundled.describe())
    config = json.loads((checkpoints_dir() / "openmoji-clip" / "open_clip_config.json").read_text())

    assert bundled.describe()["releases"] == {"open_clip": open_clip.__version__}
    assert open_clip.__version__ not in map(str, protocol.values())
    assert protocol["config_sha256"] == json_sha256(config)
    assert protocol_of(published.describe())["open_clip"] == open_clip.__version__


def test_published_weights_are_known_by_their_hash(weights: Path) -> None:
    """The published file is no variant, wherever it lies; another file without a configuration is refused."""
    clip = _published(weights)
    description = load_published("tiny", clip, "cpu", weights).describe()
    assert (description["model"], description["pretrained"]) == (QUICK, "openai")
    assert description["quick_gelu"] is True
    assert "variant" not in description

    other = replace(clip, file=OpenAiFile(name="ViT-tiny.pt", sha256="0" * 64))
    with pytest.raises(UsageError, match=r"not OpenAI's ViT-tiny\.pt.*expected SHA-256 0{64}"):
        load_published("tiny", other, "cpu", weights)
    with pytest.raises(UsageError, match="not a file of known hash"):
        load_published("tiny", replace(clip, pretrained="laion", file=None), "cpu", weights)


def test_what_lies_on_the_disk_is_taken_before_anything_is_downloaded(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clip package's copy by its hash, and the hub's copy, which has another, by its place: both are official."""
    monkeypatch.setenv("HOME", str(tmp_path))
    clip = _published(weights)
    assert clip.file is not None
    clip.file.kept.parent.mkdir(parents=True)
    shutil.copy(weights, clip.file.kept)
    assert load_published("tiny", clip, "cpu", None).describe()["pretrained"] == "openai"
    with pytest.raises(UsageError, match=r"is not OpenAI's ViT-tiny\.safetensors"):
        load_published(
            "tiny", replace(clip, file=OpenAiFile(name=weights.name, sha256="0" * 64)), "cpu", None
        )

    snapshot = tmp_path / "hub" / "models--nobody--nothing" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("a" * 40)
    shutil.copy(weights, snapshot / "open_clip_model.safetensors")
    found = find_on_disk(clip, tmp_path / "hub")
    assert found == snapshot / "open_clip_model.safetensors"
    model = model_from_file(found, replace(clip, file=None), is_official=True)
    assert (model.pretrained, model.is_own) == ("openai", False)


def test_weights_of_one_s_own_are_a_variant(tmp_path: Path, weights: Path) -> None:
    """A user's folder is described with its configuration's hash, and never as the published model."""
    folder = tmp_path / "mine"
    folder.mkdir()
    weights.rename(folder / "open_clip_model.safetensors")
    config = {"model_cfg": TINY, "preprocess_cfg": {"size": 16}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    for name in ("clip-vit-l-14", "openmoji-clip"):
        towers = load_extractor(name, weights=folder)
        description = towers.describe()
        assert (description["variant"], description["pretrained"]) == ("own-weights", None)
        assert description["quick_gelu"] is False
        assert towers.width == 8


def test_openai_s_weights_in_a_network_with_another_activation_are_an_error(
    tmp_path: Path, weights: Path
) -> None:
    """A folder of OpenAI's weights must ask for QuickGELU; the vectors would be wrong and look right."""
    folder = tmp_path / "openai"
    folder.mkdir()
    weights.rename(folder / "open_clip_model.safetensors")
    config = {"model_cfg": TINY, "preprocess_cfg": {"size": 16}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=r"trained with QuickGELU.*plain GELU"):
        load_extractor("clip-vit-b-32", weights=folder)


def test_the_world_s_model_is_a_folder(weights: Path) -> None:
    """A bare file has no configuration to build a network of the world from."""
    with pytest.raises(UsageError, match="takes a folder"):
        load_openmoji("cpu", weights)


@pytest.mark.parametrize("clip", [VIT_L_14, VIT_L_14_336, VIT_B_32, VIT_G_14])
def test_the_table_of_published_models_is_open_clip_s(clip: PublishedClip) -> None:
    """Repository, address and hash are open_clip's own, and its network has the activation of the training."""
    config = open_clip.get_pretrained_cfg(clip.architecture, clip.pretrained)
    assert config["hf_hub"].rstrip("/") == clip.hub
    assert config.get("url", "") == ("" if clip.file is None else clip.file.url)
    with torch.device("meta"):
        network = open_clip.CLIP(**open_clip.get_model_config(clip.architecture))
    assert uses_quick_gelu(network) is (clip.pretrained == OPENAI)


def test_what_to_do_without_a_connection_is_said() -> None:
    """The file with its hash in the address, where to put it, and the option that names it."""
    said = VIT_B_32.advice("--weights clip-vit-b-32=")
    assert "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt" in said
    assert str(Path.home() / ".cache" / "clip" / "ViT-B-32.pt") in said
    assert "--weights clip-vit-b-32=ViT-B-32.pt" in said
    assert VIT_G_14.hub in VIT_G_14.advice("--weights clip-vit-g-14-256=")


@pytest.mark.parametrize("size", [(31, 20), (20, 31), (300, 301), (256, 256)])
def test_dmd2_s_first_resize_is_a_centred_square_by_lanczos(size: tuple[int, int]) -> None:
    """The same square as torchvision's centre crop with the short side, brought to 256 px whatever its size."""
    pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    picture = Image.fromarray(pixels)
    expected = center_crop(picture, [min(size), min(size)]).resize((256, 256), Image.Resampling.LANCZOS)
    assert np.array_equal(np.asarray(square(picture, 256)), np.asarray(expected))


def test_a_first_resize_changes_vectors_and_the_description(weights: Path) -> None:
    """It is part of the protocol: an image through it is another image, under another identity."""
    clip = _published(weights)
    plain = load_published("tiny", clip, "cpu", weights)
    first = load_published("tiny", clip, "cpu", weights, first_side=256)
    images = RgbImages(pixels=PIXELS)
    assert not np.allclose(plain.extract(images), first.extract(images), atol=1e-4)
    assert extractor_id(plain) != extractor_id(first)
    squares = np.stack([np.asarray(square(Image.fromarray(image), 256)) for image in PIXELS])
    assert np.array_equal(first.extract(images), plain.extract(RgbImages(pixels=squares)))


def test_every_clip_of_the_table_of_extractors_is_here() -> None:
    """The registry's names lead to this module's functions."""
    names = {target.split(":")[1] for target in EXTRACTORS.values() if "clip_towers" in target}
    assert names == {
        "load_openmoji",
        "load_vit_b_32",
        "load_vit_g_14_256",
        "load_vit_l_14",
        "load_vit_l_14_336",
    }
