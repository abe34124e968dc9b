"""A small convolutional autoencoder in the geometry of FLUX.1's: 8x down, 16 channels.

At 64 px an image is an 8 x 8 x 16 latent, which the denoiser reads as 16 tokens of 64 numbers (2 x 2 patches).
It is a variational autoencoder with a fixed posterior deviation instead of a learned one: the decoder is trained on
``z + sigma * noise``, so that a slightly wrong generated latent still decodes to a clean picture.

Shape legend: B batch, C latent channels, H and W pixels, h = H/8 and w = W/8.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoencoderConfig:
    """Sizes of the autoencoder; one width for each resolution H/2, H/4, H/8."""

    latent_channels: int = 16
    """C: numbers per latent position."""
    encoder_widths: tuple[int, int, int] = (32, 64, 96)
    """Channels at H/2, H/4 and H/8 on the way down."""
    decoder_widths: tuple[int, int, int] = (48, 96, 128)
    """Channels at H/2, H/4 and H/8 on the way up."""


class ResidualBlock(nn.Module):
    """x + conv(silu(conv(silu(norm(x))))), 3 x 3, width unchanged."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) -> the same shape."""
        change: Tensor = self.conv2(F.silu(self.conv1(F.silu(self.norm(x)))))
        return x + change


class Autoencoder(nn.Module):
    """Images in [-1, 1] <-> standardised latents (zero mean, unit variance per channel over the training scenes)."""

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        e2, e4, e8 = config.encoder_widths
        d2, d4, d8 = config.decoder_widths
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(2),  # (B, 12, H/2, W/2): no convolution ever runs at full resolution
            nn.Conv2d(12, e2, 3, padding=1),
            ResidualBlock(e2),
            nn.Conv2d(e2, e4, 2, stride=2),
            ResidualBlock(e4),
            nn.Conv2d(e4, e8, 2, stride=2),
            ResidualBlock(e8),
            ResidualBlock(e8),
            nn.Conv2d(e8, config.latent_channels, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(config.latent_channels, d8, 3, padding=1),
            ResidualBlock(d8),
            ResidualBlock(d8),
            nn.ConvTranspose2d(d8, d4, 2, stride=2),
            ResidualBlock(d4),
            ResidualBlock(d4),
            nn.ConvTranspose2d(d4, d2, 2, stride=2),
            ResidualBlock(d2),
            ResidualBlock(d2),
            nn.Conv2d(d2, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )
        self.register_buffer("latent_mean", torch.zeros(config.latent_channels))
        self.register_buffer("latent_std", torch.ones(config.latent_channels))

    def encode(self, images_BCHW: Tensor) -> Tensor:
        """Float (B, 3, H, W) in [-1, 1] -> standardised latents (B, 16, H/8, W/8)."""
        z: Tensor = self.encoder(images_BCHW)
        return (z - self.latent_mean[:, None, None]) / self.latent_std[:, None, None]

    def decode(self, latents_BChw: Tensor) -> Tensor:
        """Standardised latents (B, 16, h, w) -> float (B, 3, 8h, 8w), near [-1, 1] but not clamped."""
        z = latents_BChw * self.latent_std[:, None, None] + self.latent_mean[:, None, None]
        images: Tensor = self.decoder(z)
        return images

    @torch.no_grad()
    def standardise_on(self, images_BCHW: Tensor) -> None:
        """Set latent_mean and latent_std from a sample of images, so that ``encode`` gives unit variance."""
        z = self.encoder(images_BCHW).float()
        self.latent_mean.copy_(z.mean(dim=(0, 2, 3)))
        self.latent_std.copy_(z.std(dim=(0, 2, 3)))


def to_unit_range(images: Tensor) -> Tensor:
    """uint8 in 0..255 -> float32 in [-1, 1]."""
    return images.float() / 127.5 - 1.0


def to_uint8(images: Tensor) -> Tensor:
    """Float near [-1, 1] -> uint8 in 0..255, rounded to nearest and clamped."""
    return ((images.float() + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)


def patchify(latents_BChw: Tensor) -> Tensor:
    """(B, C, h, w) -> tokens (B, h/2 * w/2, 4C): 2 x 2 patches in row order, channel-major inside a patch."""
    return F.pixel_unshuffle(latents_BChw, 2).flatten(2).transpose(1, 2)


def unpatchify(tokens_BLD: Tensor, height: int, width: int) -> Tensor:
    """Inverse of ``patchify``: (B, L, 4C) -> (B, C, height, width), sizes in latent positions."""
    batch, _, dims = tokens_BLD.shape
    grid = tokens_BLD.transpose(1, 2).reshape(batch, dims, height // 2, width // 2)
    return F.pixel_shuffle(grid, 2)
