"""The conditional model: text encoder and denoiser together, as one function G(x_t, t, s, c) of token numbers c."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from selfe.denoiser import Denoiser, DenoiserConfig
from selfe.parametrisation import Parametrisation, predicted_clean
from selfe.text import TextConfig, TextEncoder


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Everything that decides the shapes of the weights, and what the output means."""

    denoiser: DenoiserConfig
    text: TextConfig
    parametrisation: Parametrisation = "x0"


class ConditionalModel(nn.Module):
    """Text encoder and denoiser, trained together."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.text = TextEncoder(config.text)
        self.denoiser = Denoiser(config.denoiser)

    def forward(self, x_t: Tensor, t: Tensor, s: Tensor, tokens: Tensor) -> Tensor:
        """Raw network output (B, L, D) for noisy latents (B, L, D), times (B,) and token numbers (B, T)."""
        text, pooled = self.text(tokens)
        out: Tensor = self.denoiser(x_t, t, s, text, pooled)
        return out

    def clean(self, x_t: Tensor, t: Tensor, s: Tensor, tokens: Tensor) -> Tensor:
        """G(x_t, t, s, c): the predicted clean latents, float32 (B, L, D)."""
        return predicted_clean(self(x_t, t, s, tokens), x_t, t, self.config.parametrisation)
