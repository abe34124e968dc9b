"""The Inception network with random weights, at its full size; nothing here is a measurement."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from selfe_eval.errors import UsageError
from selfe_eval.score.detectors.protocol import RgbImages
from selfe_eval.score.features.inception import WIDTH, inception_network
from selfe_eval.score.features.protocol import Extractor, extractor_id
from selfe_eval.score.features.registry import load_extractor


def _random_tensors() -> dict[str, Tensor]:
    """A whole state dict in torch-fidelity's names, scaled so that signals reach the last layer (He et al. 2015)."""
    generator = torch.Generator().manual_seed(0)
    tensors = dict(inception_network().state_dict())
    tensors |= {"fc.weight": torch.zeros(1008, WIDTH), "fc.bias": torch.zeros(1008)}
    for name, tensor in tensors.items():
        if tensor.ndim == 4:
            scale = math.sqrt(2 / tensor[0].numel())
            tensors[name] = torch.randn(tensor.shape, generator=generator) * scale
    return tensors


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inception") / "random.pth"
    torch.save(_random_tensors(), path)
    return path


@pytest.fixture(scope="module")
def inception(random_weights: Path) -> Extractor:
    return load_extractor("inception", weights=random_weights)


@pytest.fixture(scope="module")
def clean(random_weights: Path) -> Extractor:
    return load_extractor("inception-clean", weights=random_weights)


def _noise(num_images: int, height: int, width: int) -> RgbImages:
    rng = np.random.default_rng(height)
    return RgbImages(pixels=rng.integers(0, 256, (num_images, height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [(64, 48), (299, 299), (340, 310)])
def test_features_are_torch_fidelitys_bit_for_bit(
    inception: Extractor, random_weights: Path, size: tuple[int, int]
) -> None:
    """Layer, resize and range are those of torch-fidelity's own extractor with the same weights."""
    images = _noise(2, *size)
    official: Any = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(random_weights)
    )
    theirs = official(torch.from_numpy(images.pixels).permute(0, 3, 1, 2))[0].numpy()
    ours = inception.extract(images)
    assert ours.shape == (2, WIDTH) == (2, inception.width)
    assert np.array_equal(ours, theirs)
    assert np.abs(ours[0] - ours[1]).max() > 0.01


def _clean_by_hand(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Channel by channel through Pillow in float, as clean-fid describes itself."""
    resized = np.empty((3, 299, 299), np.float32)
    for channel in range(3):
        plane = Image.fromarray(image[:, :, channel].astype(np.float32))
        assert plane.mode == "F"
        resized[channel] = np.asarray(plane.resize((299, 299), resample=Image.Resampling.BICUBIC))
    return resized


def test_clean_features_are_those_of_pillows_resize(
    clean: Extractor, inception: Extractor, random_weights: Path
) -> None:
    """The network sees (x - 128) / 128 of Pillow's float pixels, clipped; features differ from FID's far beyond rounding."""
    images = _noise(2, 400, 360)
    network = inception_network().eval()
    tensors = torch.load(random_weights, weights_only=True)
    network.load_state_dict({name: tensors[name] for name in network.state_dict()})
    seen = torch.from_numpy(np.stack([_clean_by_hand(image) for image in images.pixels]))
    with torch.inference_mode():
        by_hand = network((seen.clip(0, 255) - 128) / 128).numpy()
    ours = clean.extract(images)
    assert np.allclose(ours, by_hand, rtol=1e-6, atol=1e-6)
    assert np.abs(ours - inception.extract(images)).max() > 0.01


def test_images_of_a_batch_do_not_touch_each_other(inception: Extractor) -> None:
    """An image has the features in a batch that it has alone, to 1e-6 of their size."""
    images = _noise(3, 50, 60)
    together = inception.extract(images)
    alone = inception.extract(RgbImages(pixels=images.pixels[1:2]))
    assert np.abs(together[1] - alone[0]).max() <= 1e-6 * np.abs(alone).max()


def test_the_description_says_what_made_the_features(
    inception: Extractor, clean: Extractor, random_weights: Path
) -> None:
    """Network, weights' hash, resize and layer are there; weights that are not the official ones are called so."""
    described = inception.describe()
    assert described["weights_sha256"] == hashlib.sha256(random_weights.read_bytes()).hexdigest()
    assert (described["resize"], described["layer"]) == ("tf1-bilinear-299", "2048")
    assert described["variant"] == clean.describe()["variant"] == "unverified-weights"
    assert extractor_id(inception) != extractor_id(clean)


class _Code:
    """What runs code where it is unpickled: it makes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self._path,))


@pytest.mark.parametrize("name", ["inception", "inception-clean"])
def test_code_in_a_weight_file_does_not_run(tmp_path: Path, name: str) -> None:
    """A pickle that would run code is refused, and the code has not run."""
    trace, path = tmp_path / "ran", tmp_path / "w.pth"
    torch.save({"fc.weight": _Code(trace)}, path)
    with pytest.raises(UsageError, match="would run"):
        load_extractor(name, weights=path)
    assert not trace.exists()


@pytest.mark.parametrize("left_out", ["Conv2d_1a_3x3.conv.weight", "Mixed_7c.branch_pool.bn.running_var"])
def test_another_network_is_refused(tmp_path: Path, left_out: str) -> None:
    """No layer is left at random: a tensor under another name is missing and left over, and the message says both."""
    tensors = dict(inception_network().state_dict())
    tensors["other"] = tensors.pop(left_out)
    torch.save(tensors, tmp_path / "w.pth")
    with pytest.raises(
        UsageError, match=rf"does not hold the network.*missing: 1 \({left_out}\).*1 \(other\)"
    ):
        load_extractor("inception", weights=tmp_path / "w.pth")


def test_a_file_under_the_official_name_must_be_the_official_one(tmp_path: Path) -> None:
    """Its name holds the beginning of its SHA-256: a torn download is not taken for other weights."""
    path = tmp_path / "weights-inception-2015-12-05-6726825d.pth"
    torch.save({"fc.bias": torch.zeros(1)}, path)
    with pytest.raises(UsageError, match=r"corrupt or incomplete.*begins with 6726825d"):
        load_extractor("inception", weights=path)
