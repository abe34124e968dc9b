"""A Mask2Former small enough for every test, with random weights that make its output vary.

The same parts as the official detector's, with fewer channels and layers. Weights as mmdet initialises them would
give nearly the same logits for all queries and images, and then a wrong pixel or a mixed-up query goes unnoticed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from selfe_eval.score.detectors.mmdet_mask2former import packaged_config
from selfe_eval.score.detectors.mmdet_stub import build_model

EMBED_DIMS = 24
DEPTHS = (2, 2, 2, 2)
HEADS = (1, 2, 4, 8)
FEATURES = 64
NUM_QUERIES = 12
FEEDFORWARD = 96
ENCODER_LAYERS = 2
DECODER_LAYERS = 3
GAINS = {"cls_embed": 3.0, "in_proj": 2.0, "out_proj": 0.5}
"""Spread of the logits; attention that looks somewhere; queries that stay themselves."""


def small_config() -> dict[str, Any]:
    """The ``model`` part of an mmdet configuration."""
    model = packaged_config()
    model["backbone"].update(embed_dims=EMBED_DIMS, depths=DEPTHS, num_heads=HEADS)
    head = model["panoptic_head"]
    head.update(
        in_channels=[EMBED_DIMS * 2**stage for stage in range(4)],
        feat_channels=FEATURES,
        out_channels=FEATURES,
        num_queries=NUM_QUERIES,
    )
    head["positional_encoding"]["num_feats"] = FEATURES // 2
    head["pixel_decoder"]["positional_encoding"]["num_feats"] = FEATURES // 2
    for layers, num_layers in (
        (head["pixel_decoder"]["encoder"], ENCODER_LAYERS),
        (head["transformer_decoder"], DECODER_LAYERS),
    ):
        layers["num_layers"] = num_layers
        for name, part in layers["layer_cfg"].items():
            part["embed_dims"] = FEATURES
            if name == "ffn_cfg":
                part["feedforward_channels"] = FEEDFORWARD
    return model


def random_tensors(config: Mapping[str, Any], seed: int = 2) -> dict[str, Tensor]:
    """A full state dict for ``config`` in the names of mmdet 3.x; equal seeds give equal tensors.

    With seed 2 the best class probabilities of a query lie between 0.2 and 0.97 and masks cover an eighth to half.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)  # mmdet draws the biases that are kept
        state = build_model(config).state_dict()
    generator = torch.Generator().manual_seed(seed)
    return {name: _varied(name, state[name], generator) for name in state}


def mmdet2_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under the names of mmdet 2.x, written from the other end than the code under test."""
    renamed = {}
    for name, tensor in tensors.items():
        old = re.sub(r"(pixel_decoder\.encoder\.layers\.\d+)\.self_attn\.", r"\1.attentions.0.", name)
        old = re.sub(r"(transformer_decoder\.layers\.\d+)\.cross_attn\.", r"\1.attentions.0.", old)
        old = re.sub(r"(transformer_decoder\.layers\.\d+)\.self_attn\.", r"\1.attentions.1.", old)
        old = re.sub(r"(panoptic_head\..*\.layers\.\d+)\.ffn\.", r"\1.ffns.0.", old)
        renamed[old] = tensor
    return renamed


def _varied(name: str, initial: Tensor, generator: torch.Generator) -> Tensor:
    if not initial.is_floating_point():
        return initial.clone()
    noise = torch.randn(initial.shape, generator=generator)
    if "sampling_offsets" in name:
        return initial + 0.1 * noise
    if initial.ndim == 1:
        return initial + 0.2 * noise
    if "query" in name:
        return 2 * noise
    gain = next((gain for part, gain in GAINS.items() if part in name), 1.0)
    return noise * (gain / math.sqrt(initial[0].numel()))
