"""Where the official weights lie on this disk, if they do. Never downloads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import try_to_load_from_cache

from selfe_eval.score.detectors.mask2former_weights import weights_on_disk
from selfe_eval.score.published_clip import VIT_L_14, find_on_disk


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
    path = find_on_disk(VIT_L_14, hub_cache)
    if path is None:
        return None
    return ColorFile(path=path, is_from_hub=VIT_L_14.file is None or path != VIT_L_14.file.kept)
