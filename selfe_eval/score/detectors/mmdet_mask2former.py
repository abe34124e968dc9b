"""GenEval's official detector in mmdet's own code: Mask2Former with a Swin-S backbone, 80 COCO classes.

Here the network is built and filled, strictly and without a download; what goes in and what is made of its output is
common to both backends and lives in ``mask2former.py``. With a configuration file it is another detector: ``mmdet_own.py``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from selfe_eval.score.detectors.mmdet_stub import build_model, import_mmdet

CONFIG = ".mim/configs/mask2former/mask2former_swin-s-p4-w7-224_8xb2-lsj-50e_coco.py"
"""The official detector's configuration inside the mmdet package."""

Network = Callable[[Tensor], tuple[Tensor, Tensor]]
"""(B, 3, H, W) normalised float32, H and W multiples of 32 -> class logits (B, Q, 81), mask logits (B, Q, H/4, W/4)."""


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
        UsageError: mmdet is not installed.
        RuntimeError: A tensor is missing, left over or of another shape.
    """
    model = build_model(config or packaged_config())
    model.load_state_dict(tensors, strict=True)
    model.to(device).eval()

    @torch.inference_mode()
    def network(pixels: Tensor) -> tuple[Tensor, Tensor]:
        class_logits, mask_logits = model.panoptic_head(model.extract_feat(pixels), [])  # type: ignore[operator]
        return class_logits[-1], mask_logits[-1]

    return network
