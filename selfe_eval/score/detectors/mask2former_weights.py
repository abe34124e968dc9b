"""The official detector's weights: where they are, whether they are the official ones, what their tensors are called.

OpenMMLab publishes one training (20220504_001756) in two files, for mmdet 2.x and, with 180 of 649 tensors renamed,
for 3.x. The reference loads the first; handed the second it fills hardly a layer, says so in a log and scores zero.
Here both are taken, as is any other copy of them; there is no mmdet in this file, both backends read it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from torch import Tensor
from torch.hub import download_url_to_file

from selfe_eval.errors import UsageError
from selfe_eval.score.detectors.weight_file import read_weight_file

URL = (
    "https://download.openmmlab.com/mmdetection/v2.0/mask2former/mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco/"
    "mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco_20220504_001756-743b7d99.pth"
)
"""What GenEval's own download script fetches; about 280 MB."""
OFFICIAL_FILES = {
    "743b7d99": "mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco_20220504_001756-743b7d99.pth",
    "c9d0c4f2": "mask2former_swin-s-p4-w7-224_8xb2-lsj-50e_coco_20220504_001756-c9d0c4f2.pth",
}
"""First digits of the SHA-256 -> file name: in the names of mmdet 2.x, in those of 3.x."""
FOLDER_VARIABLE = "SELFE_EVAL_WEIGHTS"
"""Environment variable with the folder of the official weights."""
NUM_CLASSES = 80

_RENAMES = (
    (re.compile(r"^(panoptic_head\.pixel_decoder\.encoder\.layers\.\d+)\.attentions\.0\."), r"\1.self_attn."),
    (re.compile(r"^(panoptic_head\.transformer_decoder\.layers\.\d+)\.attentions\.0\."), r"\1.cross_attn."),
    (re.compile(r"^(panoptic_head\.transformer_decoder\.layers\.\d+)\.attentions\.1\."), r"\1.self_attn."),
    (re.compile(r"^(panoptic_head\.\w+(?:\.encoder)?\.layers\.\d+)\.ffns\.0\."), r"\1.ffn."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask2FormerWeights:
    """A checked weight file, read into memory."""

    path: Path
    """Where it came from."""
    sha256: str
    """Of the file."""
    is_official: bool
    """Whether it is one of the two official files, by hash and whatever its name."""
    tensors: dict[str, Tensor]
    """Name in mmdet 3.x to tensor."""


def read_mask2former_weights(path: Path) -> Mask2FormerWeights:
    """Read a Mask2Former with Swin backbone and 80 classes, in the names of mmdet 2.x or 3.x.

    Raises:
        UsageError: The file is missing, damaged or unsafe, or holds another model.
    """
    file = read_weight_file(path)
    found = _other_family(file.tensors)
    if found is not None:
        raise UsageError(
            f"{path} should hold mmdet's Mask2Former with a Swin backbone and {NUM_CLASSES} classes (COCO instances), "
            f"and holds {found}. The official file is {URL}; a detector of your own needs its --detector-config too."
        )
    new_names = to_mmdet3_names(file.tensors)
    tensors = {new_names[name]: tensor for name, tensor in file.tensors.items()}
    if len(tensors) != len(file.tensors):
        raise UsageError(
            f"{path} mixes the names of mmdet 2.x and 3.x: some layers are in it twice. Download it again."
        )
    return Mask2FormerWeights(
        path=path,
        sha256=file.sha256,
        is_official=file.sha256.startswith(tuple(OFFICIAL_FILES)),
        tensors=tensors,
    )


def to_mmdet3_names(names: Iterable[str]) -> dict[str, str]:
    """Names of a Mask2Former in mmdet 2.x or 3.x -> the same in 3.x; one to one, and 3.x names stay as they are.

    >>> to_mmdet3_names(["panoptic_head.transformer_decoder.layers.8.attentions.1.attn.in_proj_bias"]).values()
    dict_values(['panoptic_head.transformer_decoder.layers.8.self_attn.attn.in_proj_bias'])
    """
    return {name: _to_mmdet3_name(name) for name in names}


def weights_folder() -> Path:
    """``$SELFE_EVAL_WEIGHTS``, or ``~/.cache/selfe-eval/weights``."""
    given = os.environ.get(FOLDER_VARIABLE)
    return Path(given).expanduser() if given else Path.home() / ".cache" / "selfe-eval" / "weights"


def weights_on_disk() -> Path | None:
    """Either official file in the folder of weights, if it is there."""
    candidates = (weights_folder() / name for name in OFFICIAL_FILES.values())
    return next((path for path in candidates if path.is_file()), None)


def find_official_weights() -> Path:
    """Either official file on this disk, or a fresh download.

    Raises:
        UsageError: Neither is there and the download failed; says where to put the file.
    """
    prefix, name = next(iter(OFFICIAL_FILES.items()))
    return weights_on_disk() or download(URL, weights_folder() / name, hash_prefix=prefix)


def download(url: str, path: Path, *, hash_prefix: str) -> Path:
    """Fetch a file; it appears under its name only when it is whole.

    Raises:
        UsageError: It cannot be fetched or stored, or its SHA-256 begins with other digits.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        download_url_to_file(url, str(path), hash_prefix=hash_prefix, progress=sys.stderr.isatty())
    except (OSError, HTTPException, RuntimeError) as error:  # RuntimeError: the hash
        raise UsageError(
            f"The detector's weights are not at {path}, and downloading them failed: {error}. Fetch {url} yourself "
            f"and put it there, or into a folder that ${FOLDER_VARIABLE} names, or give it with --detector-weights."
        ) from error
    return path


def _to_mmdet3_name(name: str) -> str:
    for old, new in _RENAMES:
        name = old.sub(new, name)
    return name


def _other_family(tensors: Mapping[str, Tensor]) -> str | None:
    """What the tensors are if they are not what we read, in words; else None."""
    classifier = tensors.get("panoptic_head.cls_embed.weight")
    if classifier is None or "panoptic_head.query_feat.weight" not in tensors:
        return f"another network ({len(tensors)} tensors, the first is {next(iter(tensors))!r})"
    if len(classifier) != NUM_CLASSES + 1:
        return f"one with {len(classifier) - 1} classes"
    if "backbone.patch_embed.projection.weight" not in tensors:
        first = next((name for name in tensors if name.startswith("backbone.")), "none at all")
        return f"one with another backbone (its first tensor: {first!r})"
    return None
