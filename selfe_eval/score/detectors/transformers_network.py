"""Mask2Former in transformers' code, filled strictly: with mmdet's weights, or with a folder in the hub's form.

None of transformers' image processing is used, which resizes, scores and thresholds in other ways than the
reference. Its module names change between releases; a name that does not fit is an error here, never a random layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from selfe_eval.errors import UsageError
from selfe_eval.score.detectors.mask2former import Network
from selfe_eval.score.detectors.mask2former_keys import transformers_names
from selfe_eval.suites.vocabulary import CLASSES

_LIBRARY: Any = transformers  # its annotations do not know what its classes take
VERSION = str(transformers.__version__)

UNUSED = frozenset(
    {
        "model.pixel_level_module.encoder.swin.layernorm.weight",
        "model.pixel_level_module.encoder.swin.layernorm.bias",
        "criterion.empty_weight",
    }
)
"""Tensors of transformers' class that its forward pass does not read; only these may be missing."""

NOT_WEIGHTS = "relative_position_index"
"""How the names of a table end that transformers 4 stored and 5 computes; only such may be left over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSizes:
    """What distinguishes one Mask2Former with a Swin backbone from another; by default the official one."""

    embed_dim: int = 96
    """Channels of the backbone's first stage."""
    depths: tuple[int, ...] = (2, 2, 18, 2)
    """Blocks of its four stages."""
    num_heads: tuple[int, ...] = (3, 6, 12, 24)
    """Attention heads of its four stages."""
    features: int = 256
    """Channels of the pixel decoder and of the queries."""
    num_queries: int = 100
    """Objects that are looked for."""
    encoder_layers: int = 6
    """Of the pixel decoder."""
    encoder_feedforward: int = 1024
    """Hidden channels in each of them."""
    decoder_layers: int = 9
    """Of the query decoder."""
    decoder_feedforward: int = 2048
    """Hidden channels in each of them."""


OFFICIAL_SIZES = NetworkSizes()


def official_network(
    tensors: Mapping[str, Tensor], device: str = "cpu", *, sizes: NetworkSizes = OFFICIAL_SIZES
) -> Network:
    """Build the network and fill it with mmdet's weights.

    Args:
        tensors: A state dict in the names of mmdet 3.x.
        device: A torch device string.
        sizes: Of the network that the weights belong to.

    Raises:
        UsageError: A tensor is missing, left over, or of another shape.
    """
    model = empty_model(sizes)
    try:
        missing, unexpected = model.load_state_dict(transformers_names(tensors), strict=False)
    except RuntimeError as error:  # another shape
        raise UsageError(f"{_NOT_OFFICIAL}: {error} {_REMEDY}") from error
    misfits = _misfits(missing, unexpected)
    if misfits:
        raise UsageError(f"{_NOT_OFFICIAL}: {misfits}. {_REMEDY}")
    return _as_network(model, device)


def folder_network(folder: Path, device: str = "cpu") -> tuple[Network, dict[int, str]]:
    """Load a folder with ``config.json`` and ``model.safetensors``.

    Returns:
        The network, and its class names by index.

    Raises:
        UsageError: transformers cannot load it, or it does not hold all weights of the network it describes.
    """
    with _quiet():
        try:
            model, report = _LIBRARY.Mask2FormerForUniversalSegmentation.from_pretrained(
                folder,
                use_safetensors=True,
                local_files_only=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise UsageError(
                f"{folder} should hold a Mask2Former for transformers {VERSION}, which cannot load it: {error}"
            ) from error
    other_shapes = [str(name) for name, *_ in report["mismatched_keys"]]
    misfits = _misfits(report["missing_keys"], [*report["unexpected_keys"], *other_shapes])
    if misfits:
        raise UsageError(
            f"The weights in {folder} are not those of the Mask2Former that its config.json describes: {misfits}. "
            "Fetch both files again, from one place."
        )
    return _as_network(model, device), dict(model.config.id2label)


def empty_model(sizes: NetworkSizes) -> Any:
    """The network as transformers' class, with random weights."""
    backbone = _LIBRARY.SwinConfig(
        embed_dim=sizes.embed_dim,
        depths=list(sizes.depths),
        num_heads=list(sizes.num_heads),
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = _LIBRARY.Mask2FormerConfig(
        backbone_config=backbone,
        feature_size=sizes.features,
        mask_feature_size=sizes.features,
        hidden_dim=sizes.features,
        num_queries=sizes.num_queries,
        encoder_layers=sizes.encoder_layers,
        encoder_feedforward_dim=sizes.encoder_feedforward,
        decoder_layers=sizes.decoder_layers + 1,  # transformers counts the prediction before the first one
        dim_feedforward=sizes.decoder_feedforward,
        id2label=dict(enumerate(CLASSES)),
    )
    return _LIBRARY.Mask2FormerForUniversalSegmentation(config)


_NOT_OFFICIAL = f"The weights are not those of the official detector as transformers {VERSION} builds it"
_REMEDY = "Give the official file with --detector-weights; a network of your own is for --detector mmdet."


def _as_network(model: Any, device: str) -> Network:
    model.to(device).eval()

    def network(pixels: Tensor) -> tuple[Tensor, Tensor]:
        output = model(pixel_values=pixels)
        return output.class_queries_logits, output.masks_queries_logits

    return network


def _misfits(missing: Iterable[str], unexpected: Iterable[str]) -> str:
    """What keeps weights from fitting, in words; empty if they fit."""
    groups = {
        "missing": sorted(set(missing) - UNUSED),
        "unexpected": sorted(name for name in unexpected if not name.endswith(NOT_WEIGHTS)),
    }
    return "; ".join(
        f"{len(names)} tensors are {kind}, among them {', '.join(names[:3])}"
        for kind, names in groups.items()
        if names
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' progress bar and loading report off stderr; what matters in it is checked."""
    log = _LIBRARY.logging
    verbosity, shows_bar = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if shows_bar:
            log.enable_progress_bar()
