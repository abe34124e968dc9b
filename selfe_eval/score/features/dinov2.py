"""DINOv2 ViT-L/14: the class token after the last norm, 1024 numbers, as dgm-eval takes it for FD-DINOv2.

In transformers' code and from a folder of the hub's form; never torch.hub's, which runs whatever its repository holds
today. Two things decide the numbers and are easily missed. Images are resized in bytes by Pillow. And the positions,
learnt on 37 x 37 patches, are resampled to 16 x 16 with Meta's own factor (16 + 0.1) / 37; transformers by itself
takes 16 / 37.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from selfe_eval.errors import UsageError
from selfe_eval.provenance import file_sha256
from selfe_eval.score.detectors.weight_file import fill
from selfe_eval.score.features.network_extractor import NetworkExtractor
from selfe_eval.score.features.resize import rounded_bicubic
from selfe_eval.score.features.weight_sources import DINOV2, find_weights

_LIBRARY: Any = transformers  # its annotations do not know what its classes take
CONFIG, WEIGHTS = DINOV2.files
SIDE_PX = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet, in the order red, green, blue, for values in [0, 1]."""
OFFSET = 0.1
"""Added to the number of patches before the factor is taken. Source: facebookresearch/dinov2, ``interpolate_offset``."""

OFFICIAL = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "mlp_ratio": 4,
    "patch_size": 14,
    "layer_norm_eps": 1e-6,
    "hidden_act": "gelu",
    "qkv_bias": True,
    "use_swiglu_ffn": False,
}
"""What makes a DINOv2 a ViT-L/14."""

_POSITIONS = "embeddings.position_embeddings"
_RENAMES = (
    (
        re.compile(r"\.attention\.attention\.(query|key|value)\."),
        lambda match: f".attention.{match[1][0]}_proj.",
    ),
    (re.compile(r"\.attention\.output\.dense\."), lambda _: ".attention.o_proj."),
)
"""The hub's names of layers, which are those of transformers 4, to those of transformers 5."""


def load(device: str = "cpu", weights: Path | None = None) -> NetworkExtractor:
    """Load ``dinov2``.

    Args:
        device: A torch device string.
        weights: A folder with ``config.json`` and ``model.safetensors``; without it, the hub's cache or the hub.

    Raises:
        UsageError: The files are missing, cannot be had, are damaged, or hold another network.
    """
    folder = find_weights("dinov2", DINOV2, weights)
    network = _empty_network(folder)
    config, path = network.config, folder / WEIGHTS
    tensors = {_renamed(name): tensor for name, tensor in _read_tensors(path).items()}
    if _POSITIONS in tensors:
        side = math.isqrt(network.embeddings.patch_embeddings.num_patches)
        tensors[_POSITIONS] = resampled_positions(tensors[_POSITIONS], side)
    fill(
        network,
        tensors,
        complaint=f"{path} does not hold the DINOv2 that {CONFIG} beside it describes, as transformers "
        f"{transformers.__version__} builds it",
    )
    record: dict[str, Any] = {
        "network": DINOV2.title,
        "weights_file": WEIGHTS,
        "weights_sha256": file_sha256(path),
        "resize": f"pil-bicubic-bytes-{SIDE_PX}",
        "layer": "class token after the last norm",
        "transformers": str(transformers.__version__),
    }
    record |= _other_than_official(config)
    return NetworkExtractor(
        "dinov2",
        _ClassToken(network),
        width=config.hidden_size,
        prepare=_prepare,
        device=device,
        record=record,
    )


def resampled_positions(positions: Tensor, side: int) -> Tensor:
    """Position embeddings of another number of patches, as Meta's own code makes them while it runs.

    Args:
        positions: (1, 1 + M M, d): of the class token, then of M x M patches.
        side: Patches along a side, m.

    Returns:
        (1, 1 + m m, d); the same where m is M.
    """
    old_side = math.isqrt(positions.shape[1] - 1)
    if old_side == side:
        return positions
    width = positions.shape[-1]
    patches = positions[:, 1:].float().reshape(1, old_side, old_side, width).permute(0, 3, 1, 2)
    factor = (side + OFFSET) / old_side
    resampled = functional.interpolate(patches, scale_factor=(factor, factor), mode="bicubic")
    return torch.cat([positions[:, :1], resampled.permute(0, 2, 3, 1).reshape(1, side * side, width)], dim=1)


class _ClassToken(nn.Module):
    """A DINOv2 whose output is the class token."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: Tensor) -> Tensor:
        token: Tensor = self.network(pixel_values=pixels).last_hidden_state[:, 0]
        return token


def _prepare(pixels: NDArray[np.uint8], device: torch.device) -> Tensor:
    images = rounded_bicubic(pixels, SIDE_PX).to(device).float() / 255
    mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (MEAN, STD))
    return (images - mean) / std


def _empty_network(folder: Path) -> Any:
    """The network that ``config.json`` describes, for images of our size, its weights still to be filled in.

    Random ones, which would be overwritten, take eight of ten seconds for ViT-L/14.
    """
    missing = [name for name in DINOV2.files if not (folder / name).is_file()]
    if missing:
        raise UsageError(
            f"The extractor 'dinov2' takes a folder with {CONFIG} and {WEIGHTS}, as {DINOV2.repo} on the Hugging Face "
            f"hub; {folder} has no {' and no '.join(missing)}."
        )
    path = folder / CONFIG
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path} is not JSON ({error}). Download it again.") from error
    kind = document.get("model_type") if isinstance(document, dict) else None
    if kind != "dinov2":
        raise UsageError(
            f"{path} should be of a DINOv2 without registers (model_type 'dinov2') and says {kind!r}. Take the folder "
            f"of {DINOV2.repo}."
        )
    sizes = {key: document[key] for key in OFFICIAL if key in document}
    try:
        with torch.device("meta"):
            network = _LIBRARY.Dinov2Model(_LIBRARY.Dinov2Config(**sizes, image_size=SIDE_PX))
    except (ArithmeticError, LookupError, RuntimeError, StrictDataclassError, TypeError, ValueError) as error:
        raise UsageError(
            f"{path} describes no network that transformers {transformers.__version__} can build "
            f"({type(error).__name__}: {str(error).partition(chr(10))[0]}). Download it again."
        ) from error
    return network.to_empty(device="cpu")


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return dict(load_file(path))
    except SafetensorError as error:
        raise UsageError(f"{path} is not a safetensors file ({error}). Download it again.") from error


def _renamed(name: str) -> str:
    for old, new in _RENAMES:
        name = old.sub(new, name)
    return name


def _other_than_official(config: Any) -> dict[str, Any]:
    """What the record says where the network is no ViT-L/14; nothing where it is one."""
    found = {key: getattr(config, key) for key in OFFICIAL}
    if found == OFFICIAL:
        return {}
    size = f"vit-{config.hidden_size}x{config.num_hidden_layers}"
    return {"network": "DINOv2, another than ViT-L/14", "variant": size, "config": found}
