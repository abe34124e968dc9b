"""The CLIP model that names colours, with the record that a score of GenEval keeps of it.

GenEval's own is ViT-L-14 with OpenAI's weights, trained with QuickGELU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from selfe_eval.score import clip_model
from selfe_eval.score.clip_model import ClipModel, uses_quick_gelu
from selfe_eval.score.published_clip import VIT_L_14

OWN_COLORS = "own-colors"
"""The variant of a score whose colours another model named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColorModel:
    """A CLIP network with trained weights, and what it needs to see and read."""

    network: Any
    """With ``encode_image`` and ``encode_text``, in float32."""
    preprocess: Callable[[Image.Image], Tensor]
    """open_clip's validation transform: a picture to (3, size, size)."""
    tokenizer: Callable[[list[str]], Tensor]
    """N sentences to (N, context length) token numbers."""
    record: dict[str, Any]
    """Which model and weights; JSON types, without paths."""


def bundled_model(folder: Path | None = None) -> ColorModel:
    """The tiny model of the openmoji world, after checking its hash.

    Args:
        folder: Another folder of the same form than the bundled one.

    Raises:
        UsageError: The weights are missing or corrupt.
    """
    return _for_colors(clip_model.bundled_model(folder))


def official_model() -> ColorModel:
    """GenEval's own: OpenAI's weights from the hub, its cache or the clip package's, in ViT-L-14 with QuickGELU.

    Raises:
        UsageError: The weights are neither cached nor to be had, or not what they should be.
    """
    return _for_colors(
        clip_model.published_model(VIT_L_14, purpose="GenEval's colour model", option="--color-weights ")
    )


def official_file(path: Path) -> ColorModel:
    """OpenAI's own file, by its hash.

    Raises:
        UsageError: The file is missing, damaged, unsafe, or another one.
    """
    return _for_colors(clip_model.known_file(path, VIT_L_14))


def model_from_file(
    path: Path, *, architecture: str = VIT_L_14.architecture, is_official: bool = False
) -> ColorModel:
    """A weight file in an architecture of open_clip.

    Args:
        path: A file that ``read_clip_file`` takes.
        architecture: open_clip's name of it.
        is_official: True where the file is known to be OpenAI's though its hash is not: the hub's copy.

    Raises:
        UsageError: The file is missing, damaged, unsafe or another network's; or OpenAI's in a network with plain
            GELU.
    """
    clip = replace(VIT_L_14, architecture=architecture)
    return _for_colors(clip_model.model_from_file(path, clip, is_official=is_official))


def model_from_folder(folder: Path) -> ColorModel:
    """An open_clip model of a user's own: ``open_clip_config.json`` and one weight file.

    Raises:
        UsageError: There is no weight file or more than one, they do not fit, or they are OpenAI's in a
            network with plain GELU.
    """
    return _for_colors(clip_model.model_from_folder(folder))


def _for_colors(model: ClipModel) -> ColorModel:
    record = {
        "color_model": model.name,
        "color_pretrained": model.pretrained,
        "color_weights_sha256": model.weights_sha256,
        "color_quick_gelu": uses_quick_gelu(model.network),
        **model.library,
    }
    if model.config_sha256 is not None:
        record["color_config_sha256"] = model.config_sha256
    if model.is_own:
        record["color_variant"] = OWN_COLORS
    return ColorModel(
        network=model.network, preprocess=model.preprocess, tokenizer=model.tokenizer, record=record
    )
