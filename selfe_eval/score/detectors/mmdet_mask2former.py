"""GenEval's official detector in mmdet's own code: Mask2Former with a Swin-S backbone, 80 COCO classes.

Here the network is built and filled, strictly and without a download; what goes in and what is made of its output is
common to both backends and lives in ``mask2former.py``. With a configuration file it is another detector: ``mmdet_own.py``.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from selfe_eval.score.detectors import mmdet_own
from selfe_eval.score.detectors.deformable_attention import fast_on_cpu
from selfe_eval.score.detectors.mask2former import Mask2FormerDetector, Network
from selfe_eval.score.detectors.mask2former_weights import find_official_weights, read_mask2former_weights
from selfe_eval.score.detectors.mmdet_stub import build_model, import_mmdet
from selfe_eval.score.detectors.protocol import Detector
from selfe_eval.score.detectors.weight_file import fill

CONFIG = ".mim/configs/mask2former/mask2former_swin-s-p4-w7-224_8xb2-lsj-50e_coco.py"
"""The official detector's configuration inside the mmdet package."""


def load(device: str = "cpu", weights: Path | None = None, config: Path | None = None) -> Detector:
    """Load the official detector, or with a configuration file any other detector of mmdet.

    Args:
        device: A torch device string.
        weights: The official file, under the names of mmdet 2.x or 3.x; without it, it is searched for.
        config: An mmdet configuration that ``weights`` belong to. It is Python code and runs.

    Raises:
        UsageError: mmdet is not installed, or the weights are missing, damaged or another network's.
    """
    if config is not None:
        return mmdet_own.load(device, weights, config)
    versions = import_mmdet()
    found = read_mask2former_weights(weights or find_official_weights())
    record: dict[str, Any] = {"weights_file": found.path.name, "weights_sha256": found.sha256, **versions}
    if not found.is_official:
        record["variant"] = "unverified-weights"
    return Mask2FormerDetector("mmdet", mmdet_network(found.tensors, device), device=device, record=record)


def packaged_config() -> dict[str, Any]:
    """The ``model`` part of the official configuration, without what training or a download would need."""
    import_mmdet()
    from mmengine.config import Config

    package = Path(str(importlib.import_module("mmdet").__file__)).parent
    model: dict[str, Any] = Config.fromfile(package / CONFIG).model
    model["train_cfg"] = None
    model["backbone"]["init_cfg"] = None
    return model


def mmdet_network(
    tensors: Mapping[str, Tensor], device: str = "cpu", config: Mapping[str, Any] | None = None
) -> Network:
    """Build mmdet's Mask2Former and fill it.

    Args:
        tensors: A full state dict in the names of mmdet 3.x.
        device: A torch device string.
        config: The ``model`` part of an mmdet configuration; the official one if left out.

    Returns:
        The network up to the logits of its last decoder layer.

    Raises:
        UsageError: mmdet is not installed, or a tensor is missing, left over or of another shape.
    """
    model = build_model(config or packaged_config())
    fill(
        model,
        tensors,
        complaint="The weights are not those of the official detector, Mask2Former with Swin-S",
    )
    model.to(device).eval()
    attention = importlib.import_module("mmcv.ops.multi_scale_deform_attn")

    @torch.inference_mode()
    def network(pixels: Tensor) -> tuple[Tensor, Tensor]:
        with fast_on_cpu(attention, "multi_scale_deformable_attn_pytorch", device):
            class_logits, mask_logits = model.panoptic_head(model.extract_feat(pixels), [])  # type: ignore[operator]
        return class_logits[-1], mask_logits[-1]

    return network
