"""The sizes of the small Mask2Former, as transformers' network takes them."""

from __future__ import annotations

from selfe_eval.score.detectors.transformers_network import NetworkSizes
from tests.unit.score.detectors import small_mask2former as small

SMALL_SIZES = NetworkSizes(
    embed_dim=small.EMBED_DIMS,
    depths=small.DEPTHS,
    num_heads=small.HEADS,
    features=small.FEATURES,
    num_queries=small.NUM_QUERIES,
    encoder_layers=small.ENCODER_LAYERS,
    encoder_feedforward=small.FEEDFORWARD,
    decoder_layers=small.DECODER_LAYERS,
    decoder_feedforward=small.FEEDFORWARD,
)
