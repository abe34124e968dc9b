"""A detector of the user's own: any mmdet 3.x configuration with its weights, for the 80 classes of COCO.

An mmdet configuration is Python code, and reading it runs it: give only one that you trust. The weights are read
safely. Images go through the configuration's own test pipeline and mmdet's own ``predict``, one by one, so the numbers
are those of mmdet; the reference's thresholds are applied to them, and the score goes by another name than GenEval.
A detector without masks gets masks that fill its boxes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from selfe_eval.errors import UsageError
from selfe_eval.score.detectors.mask2former import OFFICIAL_THRESHOLDS, SCORED_TOGETHER
from selfe_eval.score.detectors.mmdet_stub import (
    build_model,
    build_pipeline,
    import_mmdet,
    without_known_warnings,
)
from selfe_eval.score.detectors.protocol import Detections, RgbImages
from selfe_eval.score.detectors.weight_file import WeightFile, fill, read_weight_file

NUM_CLASSES = 80


class OwnMmdetDetector:
    """mmdet's model and test pipeline under the reference's thresholds; see ``Detector`` for the methods."""

    name = "mmdet"
    thresholds = OFFICIAL_THRESHOLDS
    batch_size = SCORED_TOGETHER

    def __init__(self, model: nn.Module, pipeline: Any, *, device: str, record: dict[str, Any]) -> None:
        self._model = model.to(device).eval()
        self._pipeline = pipeline
        self._record = {**record, "device": device}

    def detect(self, images: RgbImages, *, floor: float = 0.0) -> list[Detections]:
        """Find objects in images of any size.

        Args:
            images: B images.
            floor: Detections that score at most this much are left out, if it is above 0.

        Raises:
            UsageError: The detector finds no instances, knows other classes, or calls a compiled operator.
        """
        return [self._detect_image(pixels, floor) for pixels in images.pixels]

    def describe(self) -> dict[str, Any]:
        """Hashes of configuration and weights, versions, thresholds and device."""
        return {
            "detector": self.name,
            **self._record,
            "thresholds": asdict(self.thresholds),
            "torch": str(torch.__version__),
        }

    def _detect_image(self, pixels: NDArray[np.uint8], floor: float) -> Detections:
        bgr = np.ascontiguousarray(pixels[..., ::-1])  # mmdet takes arrays in OpenCV's order
        data = self._pipeline({"img": bgr, "img_id": 0})
        batch = {"inputs": [data["inputs"]], "data_samples": [data["data_samples"]]}
        try:
            with torch.no_grad(), without_known_warnings():
                (sample,) = self._model.test_step(batch)  # type: ignore[operator]
        except NotImplementedError as error:
            raise UsageError(f"The detector of your own cannot run here: {error}") from error
        found = sample.get("pred_instances")
        if found is None or not {"labels", "scores", "bboxes"} <= set(found.keys()):
            raise UsageError(
                "GenEval needs instances with labels, scores and boxes, and this mmdet detector predicts none (a panoptic "
                "or semantic one does so with instance_on=False). Give the configuration of an instance detector."
            )
        return _detections(found, pixels.shape[:2], floor)


def load(device: str, weights: Path | None, config: Path) -> OwnMmdetDetector:
    """Build what a configuration describes and fill it, strictly.

    Args:
        device: A torch device string.
        weights: The weight file that belongs to the configuration.
        config: An mmdet 3.x configuration file. It is Python code and runs.

    Raises:
        UsageError: A file is missing, cannot be used, or does not fit the other; or the classes are not COCO's.
    """
    versions = import_mmdet()
    if weights is None:
        raise UsageError(f"The configuration {config} needs its weights: give them with --detector-weights.")
    settings = _read_config(config)
    file = read_weight_file(weights)
    try:
        model = build_model(settings.model)
        pipeline = build_pipeline(settings)
    except Exception as error:  # the user's code raises what it likes
        raise UsageError(
            f"mmdet cannot build the detector of {config} ({type(error).__name__}: {error}). It should be a whole "
            "mmdet 3.x configuration with `model` and `test_dataloader`."
        ) from error
    _refuse_other_classes(model, settings, file)
    fill(model, file.tensors, complaint=f"The weights {weights} do not fit the network of {config}")
    record = {
        "variant": "own-detector",
        "config_file": config.name,
        "config_sha256": _hash(settings),
        "weights_file": weights.name,
        "weights_sha256": file.sha256,
        **versions,
    }
    return OwnMmdetDetector(model, pipeline, device=device, record=record)


def _read_config(path: Path) -> Any:
    from mmengine.config import Config

    if not path.is_file():
        raise UsageError(f"The detector's configuration {path} is not a file. Check --detector-config.")
    try:
        return Config.fromfile(path)
    except Exception as error:  # the user's code raises what it likes
        raise UsageError(
            f"{path} cannot be read as an mmdet configuration ({type(error).__name__}: {error})."
        ) from error


def _hash(settings: Any) -> str:
    """SHA-256 of all settings, those of base files included."""
    return hashlib.sha256(json.dumps(settings.to_dict(), sort_keys=True, default=str).encode()).hexdigest()


def _refuse_other_classes(model: nn.Module, settings: Any, file: WeightFile) -> None:
    """A detector of other classes, or of COCO's in another order, would name every object wrongly."""
    from mmdet.datasets import CocoDataset

    expected = list(CocoDataset.METAINFO["classes"])
    named = _class_names(settings, file)
    if named is not None and named != expected:
        raise UsageError(
            f"GenEval needs the {NUM_CLASSES} classes of COCO in their order, and {file.path} is for {len(named)} "
            f"classes: {', '.join(named[:3])}, ... Give a detector trained on COCO."
        )
    counts = [
        int(getattr(part, "num_things_classes", part.num_classes))  # type: ignore[arg-type]
        for part in model.modules()
        if hasattr(part, "num_classes")
    ]
    if NUM_CLASSES not in counts:
        raise UsageError(
            f"GenEval needs a detector of the {NUM_CLASSES} classes of COCO, and the one of {file.path} tells "
            f"{max(counts, default='an unknown number of')} apart. Give a detector trained on COCO."
        )


def _class_names(settings: Any, file: WeightFile) -> list[str] | None:
    """Names that the weights (mmdet 3.x, 2.x) or the test data set give its classes; None if neither says."""
    of_training = {key.lower(): value for key, value in (file.meta.get("dataset_meta") or file.meta).items()}
    of_testing = settings.test_dataloader.dataset.get("metainfo") or {}
    names = of_training.get("classes") or of_testing.get("classes")
    return list(map(str, names)) if names else None


def _detections(found: Any, size: tuple[int, ...], floor: float) -> Detections:
    """Instances of mmdet as whole-pixel boxes inside the image; those without a pixel are none."""
    height, width = size
    scores = found.scores.float().cpu().numpy()
    boxes = np.rint(found.bboxes.float().cpu().numpy())  # half to even, as Pillow's crop in the reference
    boxes = np.clip(boxes, 0, np.array([width, height, width, height], np.float32)).astype(np.float32)
    labels = found.labels.cpu().numpy().astype(np.int64)
    if (labels >= NUM_CLASSES).any():
        raise UsageError(
            f"The detector of your own predicts class {labels.max()}; GenEval has the {NUM_CLASSES} of COCO."
        )
    kept = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    if floor > 0:
        kept &= scores > np.float32(floor)
    masks = found.masks.cpu().numpy()[kept].astype(bool) if "masks" in found else _filled(boxes[kept], size)
    return Detections(class_index=labels[kept], boxes=boxes[kept], scores=scores[kept], masks=masks)


def _filled(boxes: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """(N, 4) whole-pixel boxes -> (N, H, W) masks that fill them."""
    masks = np.zeros((len(boxes), *size), bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes.astype(int), strict=True):
        mask[y0:y1, x0:x1] = True
    return masks
