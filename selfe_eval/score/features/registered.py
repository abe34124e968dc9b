"""Our extractors inside torch-fidelity: its metrics then run on the very vectors that ours do.

For tests of agreement and for timings; no metric of ours goes this way. Of torch-fidelity's traps three concern the
caller: it caches by an input's name alone (give ``cache=False``), it ignores options that it does not know, and it
stops at images of several sizes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY, register_feature_extractor

from selfe_eval.score.detectors.protocol import RgbImages
from selfe_eval.score.features.protocol import Extractor, extractor_id

LAYER = "features"
_METRICS = ("fid", "kid", "prc")
"""What may be computed from vectors; the Inception score needs class probabilities."""


def as_torch_fidelity(extractor: Extractor) -> str:
    """Register a loaded extractor with torch-fidelity, for as long as the process lives.

    Args:
        extractor: Stays loaded. One with the same description that was registered before stays in its place.

    Returns:
        The name for ``torch_fidelity.calculate_metrics(feature_extractor=...)``, which holds the extractor's id.
    """
    name = f"selfe-eval-{extractor.name}-{extractor_id(extractor)}"
    if name not in FEATURE_EXTRACTORS_REGISTRY:
        register_feature_extractor(name, _wrapping(extractor))
    return name


def _wrapping(extractor: Extractor) -> type:
    """torch-fidelity takes classes and builds them itself, so each extractor gets a class of its own."""

    class Wrapped(FeatureExtractorBase):  # type: ignore[misc]  # torch-fidelity carries no annotations
        def __init__(self, name: str, features_list: list[str], **_options: Any) -> None:
            super().__init__(name, features_list)

        @staticmethod
        def get_provided_features_list() -> tuple[str, ...]:
            return (LAYER,)

        @staticmethod
        def get_default_feature_layer_for_metric(metric: str) -> str:
            return dict.fromkeys(_METRICS, LAYER)[metric]

        @staticmethod
        def can_be_compiled() -> bool:
            return False

        def forward(self, images: Tensor) -> tuple[Tensor]:
            pixels = np.ascontiguousarray(images.permute(0, 2, 3, 1).cpu().numpy())
            return (torch.from_numpy(extractor.extract(RgbImages(pixels=pixels))),)

    return Wrapped
