from __future__ import annotations

import pytest
import torch
from torch import Tensor

from selfe_eval.openmoji.corrupt import blur, compress, corrupt, relight, smear


@pytest.fixture
def images() -> Tensor:
    """Eight images of 64 px, grainy enough for every corruption to show."""
    return torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def same_for_all(value: float) -> Tensor:
    return torch.full((8, 1, 1, 1), value)


def test_corruption_is_seeded_and_stays_in_range(images: Tensor) -> None:
    """The same generator state gives the same images, all in [0, 1], none untouched, the input left alone."""
    before = images.clone()
    first, again, other = (corrupt(images, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert float(first.min()) >= 0
    assert float(first.max()) <= 1
    assert bool(((first - images).abs().amax(dim=(1, 2, 3)) > 0).all())
    assert torch.equal(images, before)


def test_blur_of_no_width_changes_nothing(images: Tensor) -> None:
    """Sigma 0 is the identity."""
    assert torch.allclose(blur(images, same_for_all(0.0)), images, atol=1e-6)


def test_blur_spreads_a_point_as_a_gaussian() -> None:
    """A point of light becomes the product of two Gaussians, normalised."""
    image = torch.zeros(1, 1, 33, 33)
    image[0, 0, 16, 16] = 1
    place = torch.arange(33) - 16
    profile = torch.exp(-0.5 * (place / 1.2) ** 2)
    expected = profile[:, None] * profile[None, :] / profile.sum() ** 2
    blurred = blur(image, torch.full((1, 1, 1, 1), 1.2))[0, 0]
    # Rows near the border are normalised over fewer pixels; there the point's share is below 1e-30.
    assert torch.allclose(blurred, expected, atol=1e-6)


def test_blur_and_smear_keep_plain_images_plain(images: Tensor) -> None:
    """One colour stays that colour, up to the border."""
    plain = torch.full_like(images, 0.3)
    assert torch.allclose(blur(plain, same_for_all(1.2)), plain, atol=1e-6)
    assert torch.allclose(smear(plain, same_for_all(3.0), seeded(0)), plain, atol=1e-6)


def test_smear_touches_only_its_share() -> None:
    """Some images are dragged, the others keep every bit."""
    images = torch.rand(200, 3, 16, 16, generator=seeded(5))
    changed = (smear(images, torch.full((200, 1, 1, 1), 3.0), seeded(0)) != images).flatten(1).any(dim=1)
    assert 20 < int(changed.sum()) < 80


def test_light_changes_all_channels_alike(images: Tensor) -> None:
    """Grey stays grey, whatever happens to contrast and brightness: no colour is shifted towards another."""
    lit = relight(images[:, :1].repeat(1, 3, 1, 1), seeded(0))
    assert torch.equal(lit[:, 0], lit[:, 1])
    assert torch.equal(lit[:, 0], lit[:, 2])
    assert not torch.equal(lit[:, :1], images[:, :1])


def test_weak_compression_is_lossless_to_a_thousandth(images: Tensor) -> None:
    """Strength 0 rounds to a ten thousandth, and the transform is its own inverse."""
    assert torch.allclose(compress(images, same_for_all(0.0)), images, atol=1e-3)


def test_stronger_compression_loses_more(images: Tensor) -> None:
    """The error grows with the strength."""
    errors = [float((compress(images, same_for_all(s)) - images).square().mean()) for s in (0.2, 0.7, 1.5)]
    assert errors == sorted(errors)
    assert errors[0] > 0


def test_compression_takes_any_size() -> None:
    """Sides that are no multiples of 8 come back as they were."""
    image = torch.full((1, 3, 21, 30), 0.5)
    assert torch.allclose(compress(image, torch.ones(1, 1, 1, 1)), image, atol=1e-6)
