"""GenEval's official detector without mmdet: the same checkpoint file in transformers' code; and the hub's weights.

The hub's Mask2Former is another training run with other results: it goes by the variant "hf-weights" and is never
reported as GenEval.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import LocalEntryNotFoundError

from selfe_eval.errors import UsageError
from selfe_eval.score.detectors.mask2former import Mask2FormerDetector
from selfe_eval.score.detectors.mask2former_weights import find_official_weights, read_mask2former_weights
from selfe_eval.score.detectors.transformers_network import (
    OFFICIAL_SIZES,
    VERSION,
    NetworkSizes,
    hub_network,
    official_network,
)
from selfe_eval.score.detectors.weight_file import read_weight_file
from selfe_eval.suites.vocabulary import CLASSES

HUB_NAME = "facebook/mask2former-swin-small-coco-instance"
CONFIG, WEIGHTS = HUB_FILES = ("config.json", "model.safetensors")

OTHER_SPELLINGS = {
    "motorcycle": "motorbike",
    "airplane": "aeroplane",
    "couch": "sofa",
    "potted plant": "pottedplant",
    "dining table": "diningtable",
    "tv": "tvmonitor",
    "computer mouse": "mouse",
    "tv remote": "remote",
    "computer keyboard": "keyboard",
}
"""GenEval's name of a class -> the one that the hub's label files for COCO may have: six of VOC's, three of COCO's."""


def load(device: str = "cpu", weights: Path | None = None, config: Path | None = None) -> Mask2FormerDetector:
    """Load the official checkpoint file, in the names of mmdet 2.x or 3.x.

    Args:
        device: A torch device string.
        weights: The file; without it, it is searched for and, if need be, downloaded.
        config: Not taken.

    Raises:
        UsageError: The file is missing, damaged or another network's, or a configuration file was given.
    """
    _refuse_config("transformers", config)
    found = read_mask2former_weights(weights or find_official_weights())
    record: dict[str, Any] = {
        "weights_file": found.path.name,
        "weights_sha256": found.sha256,
        "transformers": VERSION,
    }
    if not found.is_official:
        record["variant"] = "unverified-weights"
    network = official_network(found.tensors, device)
    return Mask2FormerDetector("transformers", network, device=device, record=record)


def load_hub_weights(
    device: str = "cpu",
    weights: Path | None = None,
    config: Path | None = None,
    *,
    sizes: NetworkSizes = OFFICIAL_SIZES,
) -> Mask2FormerDetector:
    """Load Meta's Mask2Former Swin-S from the Hugging Face hub, its cache, or a folder.

    Args:
        device: A torch device string.
        weights: A folder with ``config.json`` and ``model.safetensors``; without it, the hub's.
        config: Not taken.
        sizes: Of the network; ``config.json`` is only asked for the names of its classes.

    Raises:
        UsageError: The files are missing, cannot be had, or hold another network; or a configuration file was given.
    """
    _refuse_config("hf-weights", config)
    folder = _hub_folder() if weights is None else _checked_folder(weights)
    _refuse_other_classes(folder / CONFIG)
    found = read_weight_file(folder / WEIGHTS)
    record = {
        "variant": "hf-weights",
        "weights_file": WEIGHTS,
        "weights_sha256": found.sha256,
        "transformers": VERSION,
    }
    network = hub_network(found.tensors, device, sizes=sizes)
    return Mask2FormerDetector("hf-weights", network, device=device, record=record)


def _refuse_config(detector: str, config: Path | None) -> None:
    if config is not None:
        raise UsageError(
            f"The detector {detector!r} takes no configuration file, and {config} was given. Leave it out; a detector "
            "of your own is --detector mmdet with --detector-config and --detector-weights."
        )


def _hub_folder() -> Path:
    """The hub's files: from the cache without asking the hub, else downloaded."""
    try:
        return _fetched(local_files_only=True)
    except LocalEntryNotFoundError:
        pass
    try:
        return _fetched(local_files_only=False)
    except (OSError, ValueError) as error:  # what the hub raises is one of these
        raise UsageError(
            f"The weights {HUB_NAME} are not in the cache of the Hugging Face hub and cannot be fetched: {error} "
            f"Fetch {' and '.join(HUB_FILES)} where there is a connection, put both into one folder, and give that "
            "folder with --detector-weights."
        ) from error


def _fetched(*, local_files_only: bool) -> Path:
    paths = [Path(hf_hub_download(HUB_NAME, name, local_files_only=local_files_only)) for name in HUB_FILES]
    return paths[0].parent


def _checked_folder(folder: Path) -> Path:
    missing = [name for name in HUB_FILES if not (folder / name).is_file()]
    if missing:
        raise UsageError(
            f"The detector 'hf-weights' takes a folder with {' and '.join(HUB_FILES)}, as on the Hugging Face hub; "
            f"{folder} has no {' and no '.join(missing)}. The official checkpoint file is for --detector transformers."
        )
    return folder


def _refuse_other_classes(config: Path) -> None:
    """A network that counts classes in another order would mistake every object for something else."""
    names = _class_names(config)
    if len(names) != len(CLASSES):
        raise UsageError(
            f"{config} names {len(names)} classes; GenEval needs the {len(CLASSES)} of COCO instance segmentation."
        )
    for index, ours in enumerate(CLASSES):
        found = names.get(str(index))
        if found not in (ours, OTHER_SPELLINGS.get(ours)):
            raise UsageError(
                f"{config} has {found!r} as class {index}, where COCO's order has {ours!r}: detections would be "
                "counted under wrong names. Take weights for COCO instance segmentation."
            )


def _class_names(config: Path) -> dict[str, Any]:
    try:
        document = json.loads(config.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{config} is not JSON ({error}). Download it again.") from error
    names = document.get("id2label") if isinstance(document, dict) else None
    if not isinstance(names, dict):
        raise UsageError(
            f"{config} should name the classes under 'id2label' and does not. Download it again."
        )
    return names
