"""DINOv2 with random weights and a few layers; nothing here is a measurement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from torchvision.transforms import (  # type: ignore[import-untyped]
    Compose,
    InterpolationMode,
    Normalize,
    Resize,
    ToTensor,
)

from selfe_eval.errors import UsageError
from selfe_eval.score.detectors.protocol import RgbImages
from selfe_eval.score.features.dinov2 import OFFICIAL, _other_than_official, resampled_positions
from selfe_eval.score.features.protocol import extractor_id
from selfe_eval.score.features.registry import load_extractor

WIDTH = 32
_LIBRARY: Any = transformers  # its annotations do not know what its classes take


def _network(image_size: int, **sizes: Any) -> Any:
    """A DINOv2 whose layers matter, so that what is left out of it shows."""
    torch.manual_seed(0)
    config = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2, **sizes}
    network = _LIBRARY.Dinov2Model(_LIBRARY.Dinov2Config(**config, image_size=image_size)).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "norm" not in name:
                parameter.normal_(std=0.2)
    return network


def _saved(network: Any, folder: Path) -> Path:
    """As on the hub: the names of transformers 4."""
    network.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Trained on as many patches as it is used with, so that positions stay as they are."""
    return _saved(_network(224), tmp_path)


def _images(*size: int) -> RgbImages:
    return RgbImages(pixels=np.random.default_rng(0).integers(0, 256, (3, *size, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [(64, 48), (224, 224), (300, 520)])
def test_features_are_the_class_token_of_dgm_evals_input(folder: Path, size: tuple[int, int]) -> None:
    """They equal transformers' own pooled output on what dgm-eval's transform makes of an image."""
    transform = Compose(
        [
            Resize((224, 224), InterpolationMode.BICUBIC),
            ToTensor(),
            Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
        ]
    )
    images = _images(*size)
    seen = torch.stack([transform(Image.fromarray(image)) for image in images.pixels])
    with torch.inference_mode():
        expected = _network(224)(pixel_values=seen).pooler_output.numpy()
    extractor = load_extractor("dinov2", weights=folder)
    features = extractor.extract(images)
    assert features.shape == (3, WIDTH) == (3, extractor.width)
    assert np.allclose(features, expected, rtol=1e-5, atol=1e-5)
    assert np.abs(features[0] - features[1]).max() > 0.01


def _cubic(distance: float) -> float:
    """Keys' kernel (1981) with a = -3/4, which is torch's."""
    x, a = abs(distance), -0.75
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def test_positions_are_resampled_as_meta_does() -> None:
    """New patch i is the cubic mean about the place (i + 1/2) 37 / 16.1 - 1/2 of the old grid; the class token stays."""
    old = torch.randn(1, 1 + 37 * 37, 2, generator=torch.Generator().manual_seed(0))
    new = resampled_positions(old, 16)
    grid = old[0, 1:].reshape(37, 37, 2).double().numpy()
    rows, columns = (
        np.array([_cubic((i + 0.5) * 37 / 16.1 - 0.5 - place) for place in range(37)]) for i in (5, 9)
    )
    expected = np.einsum("r,c,rcd->d", rows, columns, grid)
    assert new.shape == (1, 257, 2)
    assert torch.equal(new[:, 0], old[:, 0])
    assert np.allclose(new[0, 1 + 5 * 16 + 9], expected, atol=1e-5)
    assert torch.equal(resampled_positions(new, 16), new)


def test_positions_of_the_trained_size_are_resampled_once(tmp_path: Path) -> None:
    """A network trained at 518 px gives the features of one that holds the resampled positions."""
    network = _network(518)
    extractor = load_extractor("dinov2", weights=_saved(network, tmp_path))
    at_224 = _network(224)
    tensors = dict(network.state_dict())
    tensors["embeddings.position_embeddings"] = resampled_positions(
        tensors["embeddings.position_embeddings"], 16
    )
    at_224.load_state_dict(tensors)
    other = load_extractor("dinov2", weights=_saved(at_224, tmp_path / "224"))
    assert np.array_equal(extractor.extract(_images(50, 50)), other.extract(_images(50, 50)))
    assert extractor_id(extractor) != extractor_id(other)


def test_the_names_of_both_releases_are_known(folder: Path) -> None:
    """Weights in the names of transformers 4, as on the hub, and of transformers 5 are the same network."""
    network = _network(224)
    before = load_extractor("dinov2", weights=folder).extract(_images(40, 40))
    assert "encoder.layer.0.attention.attention.query.weight" in load_file(folder / "model.safetensors")
    save_file(network.state_dict(), folder / "model.safetensors")
    assert np.array_equal(load_extractor("dinov2", weights=folder).extract(_images(40, 40)), before)


def test_loading_is_silent(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Neither a progress bar nor a warning appears."""
    capfd.readouterr()
    load_extractor("dinov2", weights=folder)
    assert capfd.readouterr() == ("", "")


def test_another_dinov2_says_so(folder: Path) -> None:
    """A network that is no ViT-L/14 has a variant with its width and depth; ViT-L/14 has none."""
    described = load_extractor("dinov2", weights=folder).describe()
    assert described["variant"] == "vit-32x2"
    assert described["config"]["num_attention_heads"] == 2
    assert _other_than_official(_LIBRARY.Dinov2Config(**OFFICIAL)) == {}


def test_the_official_sizes_are_those_of_the_hub() -> None:
    """ViT-L/14 as built here has the 304 million parameters of Meta's, 16 x 16 positions instead of 37 x 37."""
    with torch.device("meta"):
        network = _LIBRARY.Dinov2Model(_LIBRARY.Dinov2Config(**OFFICIAL, image_size=224))
    ours = sum(parameter.numel() for parameter in network.parameters())
    assert ours + (37 * 37 - 16 * 16) * 1024 == 304_368_640


def test_other_sizes_than_the_weights_are_refused(folder: Path) -> None:
    """Weights that do not fit the configuration beside them are no network."""
    _change(folder, num_hidden_layers=3)
    with pytest.raises(UsageError, match=r"does not hold the DINOv2 that config\.json beside it describes"):
        load_extractor("dinov2", weights=folder)


@pytest.mark.parametrize(
    "change",
    [{"hidden_size": "wide"}, {"patch_size": 0}, {"hidden_act": "none such"}],
    ids=str,
)
def test_a_configuration_of_no_network_is_refused(folder: Path, change: dict[str, Any]) -> None:
    """Nonsense in the configuration is one paragraph that names the file."""
    _change(folder, **change)
    with pytest.raises(UsageError, match=r"config\.json describes no network"):
        load_extractor("dinov2", weights=folder)


@pytest.mark.parametrize("kind", ["dinov2_with_registers", "vit", None])
def test_other_models_are_refused(folder: Path, kind: str | None) -> None:
    """Registers change the features: only the DINOv2 that FD-DINOv2 is defined with is taken."""
    _change(folder, model_type=kind)
    with pytest.raises(UsageError, match=f"without registers.*{kind!r}"):
        load_extractor("dinov2", weights=folder)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_only_safetensors_beside_a_configuration_are_taken(folder: Path, missing: str) -> None:
    """A pickle in the place of the weights is not looked at; what is missing is named."""
    (folder / missing).rename(folder / "pytorch_model.bin")
    with pytest.raises(UsageError, match=f"has no {missing}"):
        load_extractor("dinov2", weights=folder)


@pytest.mark.parametrize(
    ("name", "complaint"), [("config.json", "not JSON"), ("model.safetensors", "not a safetensors")]
)
def test_damaged_files_are_refused(folder: Path, name: str, complaint: str) -> None:
    """A torn download is one paragraph."""
    (folder / name).write_bytes(b"{ half")
    with pytest.raises(UsageError, match=complaint):
        load_extractor("dinov2", weights=folder)


def _change(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
