"""Where the official weights lie on this disk, if they do. Never downloads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import open_clip
from huggingface_hub import try_to_load_from_cache
from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

from selfe_eval.score.color_model import ARCHITECTURE, CLIP_FILE, OPENAI
from selfe_eval.score.detectors.mask2former_weights import weights_on_disk


@dataclass(frozen=True, slots=True, kw_only=True)
class ColorFile:
    """Weights of GenEval's colour model on this disk."""

    path: Path
    """The file."""
    is_from_hub: bool
    """Whether it is the hub's copy, which has another hash than OpenAI's file."""


def detector_weights(detector: str) -> Path | None:
    """The weights that scoring with this detector would take from this disk, if they are there.

    Args:
        detector: One of OFFICIAL.

    Returns:
        The official file for mmdet and transformers, the folder in the hub's cache for hf-weights.
    """
    if detector == "hf-weights":
        from selfe_eval.score.detectors.transformers_mask2former import HUB_FILES, HUB_NAME

        cached = [try_to_load_from_cache(HUB_NAME, name) for name in HUB_FILES]
        return Path(str(cached[0])).parent if all(isinstance(path, str) for path in cached) else None
    return weights_on_disk()


def color_file(hub_cache: Path | None = None) -> ColorFile | None:
    """OpenAI's ViT-L-14, if the hub's cache or the clip package has it.

    Args:
        hub_cache: The folder of the hub's cache; by default the one that the environment names.
    """
    repository = open_clip.get_pretrained_cfg(ARCHITECTURE, OPENAI)["hf_hub"].rstrip("/")
    for name in (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME):
        cached = try_to_load_from_cache(repository, name, cache_dir=hub_cache)
        if isinstance(cached, str):
            return ColorFile(path=Path(cached), is_from_hub=True)
    path = Path.home() / CLIP_FILE
    return ColorFile(path=path, is_from_hub=False) if path.is_file() else None
