"""FLUX.1's autoencoder, frozen, through diffusers: 16 channels, 8x down, latents = (z - shift) * scale.

``encode`` takes the posterior's mean. FLUX.1's own encoder draws from the posterior instead, whose deviation is small
beside that of the latents; the paper does not say. The mean makes latents a function of the picture, so shards that are
encoded twice are equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from selfe.encoders.loading import load_frozen
from selfe.encoders.places import AUTOENCODER, EncoderError, FrozenPart, find_part, weight_hashes

PATCH = 4
"""Latent positions in an image token: 2 x 2."""
NUM_RESOLUTIONS = 4
"""Of an autoencoder that goes 8x down: three halvings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenAutoencoderConfig:
    """An autoencoder that is no part of a checkpoint's weights."""

    frozen: str
    """A local directory or a hub name, as ``diffusers`` reads it."""


def find_autoencoder(config: FrozenAutoencoderConfig, token_dims: int | None = None) -> FrozenPart:
    """Locate the autoencoder, and compare its latents with a denoiser's tokens of ``token_dims`` numbers, if given.

    Raises:
        EncoderError: it is missing, out of reach, of another kind, of another size, or not 8x down.
    """
    part = find_part(AUTOENCODER, config.frozen)
    num_resolutions = len(part.config.get("block_out_channels", ()))
    part.require(
        "block_out_channels for", found=num_resolutions, expected=NUM_RESOLUTIONS, of="as it goes 8x down"
    )
    if token_dims is not None:
        part.require(
            "latent_channels x 2 x 2 =",
            found=PATCH * part.size("latent_channels"),
            expected=token_dims,
            of="the denoiser's token_dims",
        )
    return part


class FluxAutoencoder:
    """Pictures <-> standardised latents, in float32 (or what autocast makes of it); implements ``LatentCoder``."""

    def __init__(
        self,
        part: FrozenPart,
        *,
        device: torch.device | str = "cpu",
        expected: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        """Load the weights.

        Args:
            part: Where they are.
            device: Where to compute.
            expected: Role -> file name -> SHA-256 that a checkpoint states.

        Raises:
            EncoderError: weights are missing, not whole, or not the expected ones; or diffusers is not installed.
        """
        self.files = {AUTOENCODER.name: weight_hashes(part, (expected or {}).get(AUTOENCODER.name))}
        self.scale = float(part.config["scaling_factor"])
        self.shift = float(part.config.get("shift_factor") or 0.0)
        self._network = _loaded(part).to(torch.device(device))

    @torch.no_grad()
    def encode(self, images_BCHW: Tensor) -> Tensor:
        """Float (B, 3, H, W) in [-1, 1] -> latents (B, C, H/8, W/8)."""
        z: Tensor = self._network.encode(images_BCHW).latent_dist.mode()
        return (z - self.shift) * self.scale

    @torch.no_grad()
    def decode(self, latents_BChw: Tensor) -> Tensor:
        """Latents (B, C, h, w) -> float (B, 3, 8h, 8w), near [-1, 1] but not clamped."""
        images: Tensor = self._network.decode(latents_BChw / self.scale + self.shift).sample
        return images


def _loaded(part: FrozenPart) -> Any:
    try:
        from diffusers import AutoencoderKL
    except ImportError as error:
        raise EncoderError(
            f"The autoencoder {part.place} needs the package diffusers, which is not installed. Run `pip install diffusers`."
        ) from error
    return load_frozen(AutoencoderKL, part, torch_dtype=torch.float32, low_cpu_mem_usage=False)
