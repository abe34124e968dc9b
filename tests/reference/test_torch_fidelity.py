"""FID and KID as torch-fidelity computes them, on the very features that ours are computed from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch_fidelity
from numpy.typing import NDArray
from PIL import Image

from selfe_eval.score.detectors.protocol import RgbImages
from selfe_eval.score.features.registered import as_torch_fidelity
from selfe_eval.score.fidelity.frechet import frechet_distance, gaussian_of
from selfe_eval.score.fidelity.kernel_distance import kernel_replicated

WIDTH = 12
NUM_IMAGES = 40
TOLERANCE = 1e-6
"""Relative."""


class _Averages:
    """An extractor with a known answer: the averages of an image's four quarters, each color by itself, in [0, 16)."""

    width = WIDTH

    def __init__(self, name: str = "averages") -> None:
        self.name = name

    def extract(self, images: RgbImages) -> NDArray[np.float32]:
        number, height, width, _ = images.pixels.shape
        quarters = images.pixels.reshape(number, 2, height // 2, 2, width // 2, 3).astype(np.float64)
        averages: NDArray[np.float64] = quarters.mean(axis=(2, 4)).reshape(number, WIDTH) / 16
        return averages.astype(np.float32)

    def describe(self) -> dict[str, Any]:
        return {"extractor": self.name, "device": "cpu"}


def _folder(path: Path, *, seed: int, brightness: float) -> NDArray[np.uint8]:
    """Write noise of some brightness as PNG files, and return it."""
    path.mkdir()
    rng = np.random.default_rng(seed)
    colors = rng.uniform(0, brightness, (NUM_IMAGES, 2, 1, 2, 1, 3))
    pixels = (colors * rng.uniform(0, 255, (NUM_IMAGES, 2, 6, 2, 5, 3))).astype(np.uint8)
    images = pixels.reshape(NUM_IMAGES, 12, 10, 3)
    for index, image in enumerate(images):
        Image.fromarray(image).save(path / f"{index:03}.png")
    return images


@pytest.fixture(scope="module")
def theirs_and_features(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[dict[str, float], list[NDArray[np.float32]]]:
    folder, extractor = tmp_path_factory.mktemp("images"), _Averages()
    images = [
        _folder(folder / name, seed=seed, brightness=brightness)
        for name, seed, brightness in (("ours", 0, 0.5), ("reference", 1, 1.0))
    ]
    theirs = torch_fidelity.calculate_metrics(
        input1=str(folder / "ours"),
        input2=str(folder / "reference"),
        feature_extractor=as_torch_fidelity(extractor),
        fid=True,
        kid=True,
        kid_subsets=1,
        kid_subset_size=NUM_IMAGES,
        batch_size=16,
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    return theirs, [extractor.extract(RgbImages(pixels=pixels)) for pixels in images]


def test_fid_is_torch_fidelitys(
    theirs_and_features: tuple[dict[str, float], list[NDArray[np.float32]]],
) -> None:
    """The Frechet distance of the same features is the same number, to 1e-6 of it."""
    theirs, (ours, reference) = theirs_and_features
    value = frechet_distance(gaussian_of(ours), gaussian_of(reference))
    assert value > 1
    assert value == pytest.approx(theirs["frechet_inception_distance"], rel=TOLERANCE)


def test_kid_is_torch_fidelitys(
    theirs_and_features: tuple[dict[str, float], list[NDArray[np.float32]]],
) -> None:
    """With one subset of all images torch-fidelity's KID is the unbiased estimate that ours is, to 1e-6 of it.

    It sums kernels in float32 where ours are in float64: sets that hardly differ would lose those digits on its side.
    """
    theirs, (ours, reference) = theirs_and_features
    groups = np.arange(NUM_IMAGES, dtype=np.int64)
    value = kernel_replicated(ours, groups, reference, "polynomial").value
    assert value > 1
    assert value == pytest.approx(theirs["kernel_inception_distance_mean"], rel=TOLERANCE)


def test_an_extractor_is_registered_once_by_what_it_is() -> None:
    """The same description has one name, another description another: no stale one is ever taken for it."""
    assert as_torch_fidelity(_Averages()) == as_torch_fidelity(_Averages())
    assert as_torch_fidelity(_Averages()) != as_torch_fidelity(_Averages("others"))


def test_the_inception_score_is_not_computed_from_features() -> None:
    """It needs class probabilities; vectors would give a number without meaning, so there is none."""
    with pytest.raises(KeyError, match="isc"):
        torch_fidelity.calculate_metrics(
            input1="any",
            feature_extractor=as_torch_fidelity(_Averages()),
            isc=True,
            cuda=False,
            verbose=False,
        )
