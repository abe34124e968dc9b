"""Mask2Former in transformers' code, filled strictly: with mmdet's weights, or with those of the Hugging Face hub.

Of transformers only the network is used. Its image processing resizes, scores and thresholds in other ways than the
reference; its ``from_pretrained`` does as ``config.json`` says, up to fetching a backbone, and leaves a layer that it
has no weights for at random. Module names change between its releases: a name that does not fit is an error here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import transformers
from torch import Tensor
from transformers.models.mask2former import modeling_mask2former

from selfe_eval.score.detectors.deformable_attention import fast_on_cpu
from selfe_eval.score.detectors.mask2former import Network
from selfe_eval.score.detectors.mask2former_keys import names_from_hub, names_from_mmdet
from selfe_eval.score.detectors.weight_file import fill
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
    return _filled(names_from_mmdet(tensors), device, sizes, "the official detector, Mask2Former with Swin-S")


def hub_network(
    tensors: Mapping[str, Tensor], device: str = "cpu", *, sizes: NetworkSizes = OFFICIAL_SIZES
) -> Network:
    """Build the network and fill it with weights in the hub's form.

    Args:
        tensors: A state dict in the names of transformers 4 or 5.
        device: A torch device string.
        sizes: Of the network that the weights belong to.

    Raises:
        UsageError: A tensor is missing, left over, or of another shape.
    """
    return _filled(names_from_hub(tensors), device, sizes, "the hub's Mask2Former with Swin-S")


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


def _filled(tensors: Mapping[str, Tensor], device: str, sizes: NetworkSizes, owner: str) -> Network:
    model = empty_model(sizes)
    unused = {name: tensor for name, tensor in model.state_dict().items() if name in UNUSED}
    fill(
        model,
        {**unused, **tensors},
        complaint=f"The weights are not those of {owner}, as transformers {VERSION} builds it",
    )
    model.to(device).eval()

    def network(pixels: Tensor) -> tuple[Tensor, Tensor]:
        with fast_on_cpu(modeling_mask2former, "multi_scale_deformable_attention", device):
            output = model(pixel_values=pixels)
        return output.class_queries_logits, output.masks_queries_logits

    return network
