"""The official checkpoint, and the hub's, under the names that transformers 5.23 gives the same network.

From mmdet's names: replaced, joint projections split, and the columns of Swin's patch merging re-ordered, because
mmdet gathers the four neighbours channel by channel and transformers neighbour by neighbour. No number is changed.
The hub's file has the names of transformers 4. A name that the tables here do not know stays as it is, so that a strict
load reports it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_BACKBONE = r"model.pixel_level_module.encoder"
_PIXELS = r"model.pixel_level_module.decoder"
_QUERIES = r"model.transformer_module"

_RENAMES: tuple[tuple[str, str], ...] = (
    (r"^backbone\.norm0\.", rf"{_BACKBONE}.hidden_states_norms.stage1."),
    (r"^backbone\.norm1\.", rf"{_BACKBONE}.hidden_states_norms.stage2."),
    (r"^backbone\.norm2\.", rf"{_BACKBONE}.hidden_states_norms.stage3."),
    (r"^backbone\.norm3\.", rf"{_BACKBONE}.hidden_states_norms.stage4."),
    (r"^backbone\.patch_embed\.projection\.", rf"{_BACKBONE}.swin.embeddings.patch_embeddings.projection."),
    (r"^backbone\.patch_embed\.norm\.", rf"{_BACKBONE}.swin.embeddings.norm."),
    (r"^backbone\.stages\.", rf"{_BACKBONE}.swin.encoder.layers."),
    (r"(\.blocks\.\d+)\.norm1\.", r"\1.layernorm_before."),
    (r"(\.blocks\.\d+)\.norm2\.", r"\1.layernorm_after."),
    (r"\.attn\.w_msa\.proj\.", r".attention.o_proj."),
    (
        r"\.attn\.w_msa\.relative_position_bias_table$",
        r".attention.relative_position_bias.relative_position_bias_table",
    ),
    (r"(\.blocks\.\d+)\.ffn\.layers\.0\.0\.", r"\1.mlp.fc1."),
    (r"(\.blocks\.\d+)\.ffn\.layers\.1\.", r"\1.mlp.fc2."),
    (r"^panoptic_head\.pixel_decoder\.level_encoding\.weight$", rf"{_PIXELS}.level_embed"),
    (r"^panoptic_head\.pixel_decoder\.lateral_convs\.0\.", rf"{_PIXELS}.adapter_1."),
    (r"^panoptic_head\.pixel_decoder\.output_convs\.0\.", rf"{_PIXELS}.layer_1."),
    (r"^panoptic_head\.pixel_decoder\.input_convs\.", rf"{_PIXELS}.input_projections."),
    (r"^panoptic_head\.pixel_decoder\.mask_feature\.", rf"{_PIXELS}.mask_projection."),
    (r"^panoptic_head\.pixel_decoder\.", rf"{_PIXELS}."),
    (r"\.conv\.", r".0."),
    (r"\.gn\.", r".1."),
    (rf"^({re.escape(_PIXELS)}\.encoder\.layers\.\d+)\.norms\.0\.", r"\1.self_attn_layer_norm."),
    (rf"^({re.escape(_PIXELS)}\.encoder\.layers\.\d+)\.norms\.1\.", r"\1.final_layer_norm."),
    (r"^panoptic_head\.transformer_decoder\.post_norm\.", rf"{_QUERIES}.decoder.layernorm."),
    (r"^panoptic_head\.transformer_decoder\.", rf"{_QUERIES}.decoder."),
    (rf"^({re.escape(_QUERIES)}\.decoder\.layers\.\d+)\.norms\.0\.", r"\1.cross_attn_layer_norm."),
    (rf"^({re.escape(_QUERIES)}\.decoder\.layers\.\d+)\.norms\.1\.", r"\1.self_attn_layer_norm."),
    (rf"^({re.escape(_QUERIES)}\.decoder\.layers\.\d+)\.norms\.2\.", r"\1.final_layer_norm."),
    (r"(self_attn|cross_attn)\.attn\.", r"\1."),
    (r"\.ffn\.layers\.0\.0\.", r".fc1."),
    (r"\.ffn\.layers\.1\.", r".fc2."),
    (r"^panoptic_head\.query_embed\.", rf"{_QUERIES}.queries_embedder."),
    (r"^panoptic_head\.query_feat\.", rf"{_QUERIES}.queries_features."),
    (r"^panoptic_head\.level_embed\.", rf"{_QUERIES}.level_embed."),
    (r"^panoptic_head\.mask_embed\.0\.", rf"{_QUERIES}.decoder.mask_predictor.mask_embedder.0.0."),
    (r"^panoptic_head\.mask_embed\.2\.", rf"{_QUERIES}.decoder.mask_predictor.mask_embedder.1.0."),
    (r"^panoptic_head\.mask_embed\.4\.", rf"{_QUERIES}.decoder.mask_predictor.mask_embedder.2.0."),
    (r"^panoptic_head\.cls_embed\.", r"class_predictor."),
)
"""Patterns and replacements, applied one after the other to every name; from mmdet 3.x."""

_HUB_RENAMES: tuple[tuple[str, str], ...] = (
    (rf"^{re.escape(_BACKBONE)}\.embeddings\.", rf"{_BACKBONE}.swin.embeddings."),
    (rf"^{re.escape(_BACKBONE)}\.encoder\.", rf"{_BACKBONE}.swin.encoder."),
    (r"\.attention\.self\.query\.", r".attention.q_proj."),
    (r"\.attention\.self\.key\.", r".attention.k_proj."),
    (r"\.attention\.self\.value\.", r".attention.v_proj."),
    (r"\.attention\.self\.(relative_position_bias_table)$", r".attention.relative_position_bias.\1"),
    (r"\.attention\.output\.dense\.", r".attention.o_proj."),
    (r"\.intermediate\.dense\.", r".mlp.fc1."),
    (r"\.output\.dense\.", r".mlp.fc2."),
)
"""The same, from transformers 4; what is in the names of 5 already stays."""

_NOT_STORED = "relative_position_index"
"""Which entry of the bias table a pair of pixels reads: follows from the window size, no weight."""


def names_from_mmdet(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename and re-arrange a state dict of mmdet's Mask2Former with a Swin backbone.

    Args:
        tensors: In the names of mmdet 3.x.

    Returns:
        In the names of ``Mask2FormerForUniversalSegmentation``; some tensors are views of the given ones.
    """
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not name.endswith(_NOT_STORED):
            renamed |= _converted(name, tensor)
    return renamed


def names_from_hub(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a state dict of ``Mask2FormerForUniversalSegmentation`` as the hub stores it.

    Args:
        tensors: In the names of transformers 4 or 5.

    Returns:
        The same tensors in the names of transformers 5.23.
    """
    return {
        _renamed(name, _HUB_RENAMES): tensor
        for name, tensor in tensors.items()
        if not name.endswith(_NOT_STORED)
    }


def _converted(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """What one tensor becomes."""
    if ".w_msa.qkv." in name:
        parent, kind = name.split("attn.w_msa.qkv.")
        return _split(f"{_renamed(parent)}attention.", f".{kind}", tensor)
    if ".self_attn.attn.in_proj_" in name:
        parent, kind = name.split("attn.in_proj_")
        return _split(_renamed(parent), f".{kind}", tensor)
    if ".downsample." in name:
        return {_renamed(name): _neighbour_by_neighbour(tensor)}
    return {_renamed(name): tensor}


def _renamed(name: str, table: tuple[tuple[str, str], ...] = _RENAMES) -> str:
    for pattern, replacement in table:
        name = re.sub(pattern, replacement, name)
    return name


def _split(parent: str, kind: str, joint: Tensor) -> dict[str, Tensor]:
    """Query, key and value of a joint projection, which are stacked in this order."""
    parts = joint.chunk(3)
    return {f"{parent}{letter}_proj{kind}": part for letter, part in zip("qkv", parts, strict=True)}


def _neighbour_by_neighbour(tensor: Tensor) -> Tensor:
    """Inputs of patch merging from (channel, neighbour) to (neighbour, channel) order, on the last axis.

    mmdet counts the neighbours of a 2 x 2 patch row by row, transformers column by column.
    """
    by_neighbour = tensor.unflatten(-1, (-1, 4)).transpose(-1, -2)
    return torch.index_select(by_neighbour, -2, torch.tensor([0, 2, 1, 3])).flatten(-2)
