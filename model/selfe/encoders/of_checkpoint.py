"""The frozen encoders that a checkpoint names, as they lie on this machine.

A checkpoint that has moved names places of the machine it was trained on. The environment variables SELFE_T5, SELFE_CLIP and
SELFE_AUTOENCODER say where each lies here; all three may name one pipeline's folder.
"""

from __future__ import annotations

from dataclasses import replace

from selfe.autoencoder import Autoencoder, AutoencoderConfig
from selfe.encoders.flux_autoencoder import FrozenAutoencoderConfig, find_autoencoder
from selfe.encoders.frozen_text import FoundText, find_text
from selfe.encoders.places import AUTOENCODER, CLIP, T5, FrozenPart, relocated
from selfe.model import FrozenTextConfig, ModelConfig


def text_encoders_of(config: ModelConfig) -> FoundText | None:
    """The text encoders of a model, found and of the widths that it reads; None where it trains its own.

    Raises:
        EncoderError: one is missing, out of reach, of another kind or of another width.
    """
    text = config.text
    if not isinstance(text, FrozenTextConfig):
        return None
    here = replace(text, t5=relocated(T5, text.t5), clip=relocated(CLIP, text.clip))
    return find_text(here, config.denoiser)


def autoencoder_of(
    config: ModelConfig, autoencoder: Autoencoder | AutoencoderConfig | FrozenAutoencoderConfig
) -> FrozenPart | None:
    """The frozen autoencoder of a model, found and of the token size that it reads; None where it has its own.

    Raises:
        EncoderError: it is missing, out of reach, of another kind or of another size.
    """
    if not isinstance(autoencoder, FrozenAutoencoderConfig):
        return None
    here = FrozenAutoencoderConfig(frozen=relocated(AUTOENCODER, autoencoder.frozen))
    return find_autoencoder(here, config.denoiser.token_dims)
