"""Training the autoencoder: L1 on pixels and on their edges, squared error on chroma, and a pull of the latents to unit size.

Chroma has a term of its own because L1 alone learns shapes first and leaves small coloured areas grey for a long time.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from selfe.autoencoder import Autoencoder, AutoencoderConfig, to_unit_range
from selfe.training.loop import Metrics, step_generator
from selfe.training.not_finite import refuse_not_finite
from selfe.training.optim import adam, clip_gradients, learning_rate, set_learning_rate
from selfe.training.state import network_tensors, optimiser_tensors, restore_optimiser


class ImageSource(Protocol):
    """Where training pictures come from: a function of the step, so that resuming needs no state."""

    def images(self, step: int) -> Tensor:
        """uint8 (B, 3, H, W) for one optimiser step."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoencoderRecipe:
    """How the autoencoder is trained."""

    num_steps: int
    """Optimiser steps."""
    peak_lr: float = 2e-3
    """Learning rate after the warm-up of 100 steps."""
    final_lr: float = 2e-5
    """Learning rate to which the decay leads, one step after the last."""
    latent_noise: float = 0.1
    """Deviation of the noise added to the latent before decoding, beside latents of about unit size."""
    chroma_weight: float = 5.0
    """Of ``chroma_loss``."""
    latent_penalty: float = 1e-3
    """Weight of mean(z^2): without it the encoder would outgrow the noise."""
    seed: int = 0
    """Of the initial weights and the latent noise."""


def edge_loss(a_BCHW: Tensor, b_BCHW: Tensor) -> Tensor:
    """Mean absolute difference of horizontal and of vertical finite differences, summed."""
    horizontal = (a_BCHW[..., 1:] - a_BCHW[..., :-1]) - (b_BCHW[..., 1:] - b_BCHW[..., :-1])
    vertical = (a_BCHW[..., 1:, :] - a_BCHW[..., :-1, :]) - (b_BCHW[..., 1:, :] - b_BCHW[..., :-1, :])
    return horizontal.abs().mean() + vertical.abs().mean()


def chroma_loss(a_BCHW: Tensor, b_BCHW: Tensor) -> Tensor:
    """Mean squared difference of the two opponent channels R - G and (R + G)/2 - B."""
    red, green, blue = (a_BCHW - b_BCHW).unbind(1)
    return ((red - green).square() + ((red + green) / 2 - blue).square()).mean()


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of images in [-1, 1] (peak-to-peak 2)."""
    return 10.0 * torch.log10(4.0 / (a - b).square().mean())


class AutoencoderTraining:
    """One autoencoder in training; implements ``selfe.training.loop.Trainable``."""

    def __init__(self, config: AutoencoderConfig, recipe: AutoencoderRecipe, source: ImageSource) -> None:
        torch.manual_seed(recipe.seed)
        self.model = Autoencoder(config).to(memory_format=torch.channels_last)
        self.recipe = recipe
        self.source = source
        self.optimiser = adam(self.model.parameters(), peak=recipe.peak_lr)

    def train_step(self, step: int) -> Metrics:
        """One optimiser step on the source's pictures of this step."""
        recipe = self.recipe
        set_learning_rate(
            self.optimiser,
            learning_rate(
                step,
                peak=recipe.peak_lr,
                final=recipe.final_lr,
                warmup_steps=100,
                total_steps=recipe.num_steps,
            ),
        )
        images = to_unit_range(self.source.images(step)).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            z = self.model.encoder(images)
            noise = torch.randn(z.shape, generator=step_generator(recipe.seed, step))
            reconstruction = self.model.decoder(z + recipe.latent_noise * noise)
        reconstruction = reconstruction.float()
        pixel = (reconstruction - images).abs().mean()
        edge = edge_loss(reconstruction, images)
        chroma = chroma_loss(reconstruction, images)
        loss = (
            pixel + edge + recipe.chroma_weight * chroma + recipe.latent_penalty * z.float().square().mean()
        )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = clip_gradients(self.model.parameters(), 1.0)
        refuse_not_finite(step, {"loss": loss, "gradient norm": norm}, lambda _: {"images": images})
        self.optimiser.step()
        return {
            "images": len(images),
            "l1": pixel.detach(),
            "edge": edge.detach(),
            "chroma": chroma.detach(),
            "psnr_db": psnr(reconstruction, images).detach(),
        }

    def state_dict(self) -> dict[str, Tensor]:
        """Weights and optimiser."""
        return network_tensors("model", self.model) | optimiser_tensors(self.model, self.optimiser)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Inverse of ``state_dict``."""
        restore_optimiser(self.model, self.optimiser, state)

    def settings(self, step: int) -> dict[str, Any]:
        """Sizes and recipe, the same at every step."""
        del step
        return {"network": asdict(self.model.config), **asdict(self.recipe)}
