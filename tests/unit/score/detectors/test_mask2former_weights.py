from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from selfe_eval.errors import UsageError
from selfe_eval.score.detectors.mask2former_weights import (
    OFFICIAL_FILES,
    URL,
    download,
    find_official_weights,
    read_mask2former_weights,
    to_mmdet3_names,
)
from selfe_eval.score.detectors.mmdet_mask2former import mmdet_network, packaged_config
from selfe_eval.score.detectors.mmdet_stub import build_model
from tests.unit.score.detectors.small_mask2former import mmdet2_names, random_tensors, small_config


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return random_tensors(small_config())


class Foreign:
    """Stands for an object whose class nobody vouched for."""


def _bytes(document: Any, *, is_zip: bool = False) -> bytes:
    """A weight file; mmdet publishes without the zip format (its tools/model_converters/publish_model.py)."""
    buffer = io.BytesIO()
    torch.save(document, buffer, _use_new_zipfile_serialization=is_zip)
    return buffer.getvalue()


def _write(folder: Path, document: Any, *, is_zip: bool = False) -> Path:
    """A file named as OpenMMLab names them, with the first digits of its own hash."""
    content = _bytes(document, is_zip=is_zip)
    path = folder / f"detector_20220504_001756-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    path.write_bytes(content)
    return path


def _equal(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("is_zip", [False, True])
def test_both_families_of_names_give_the_same_network(
    tensors: dict[str, Tensor], tmp_path: Path, *, is_zip: bool
) -> None:
    """A file of mmdet 2.x and one of 3.x with the same tensors, in either format of torch, give the same logits."""
    old = _write(
        tmp_path, {"meta": {"CLASSES": ("person",)}, "state_dict": mmdet2_names(tensors)}, is_zip=is_zip
    )
    new = _write(tmp_path, {"meta": {}, "state_dict": tensors}, is_zip=is_zip)
    pixels = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    logits = [
        mmdet_network(read_mask2former_weights(path).tensors, config=small_config())(pixels)
        for path in (old, new)
    ]
    assert torch.equal(logits[0][0], logits[1][0])
    assert torch.equal(logits[0][1], logits[1][1])


def test_the_official_names_are_translated_one_to_one() -> None:
    """Of the official network's 649 tensors 180 have other names in 2.x (detectors of mmdet 2.28.2 and 3.3.0)."""
    names = build_model(packaged_config()).state_dict()
    old = mmdet2_names(names)
    translated = to_mmdet3_names(old)
    assert list(translated.values()) == list(names)
    assert sum(before != after for before, after in translated.items()) == 180
    assert len(set(translated.values())) == 649


def test_new_names_stay_as_they_are(tensors: dict[str, Tensor]) -> None:
    """Translating names of 3.x changes nothing."""
    assert all(before == after for before, after in to_mmdet3_names(tensors).items())


def test_a_bare_state_dict_and_safetensors_are_taken(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    """The tensors may stand alone, pickled or as safetensors; the hash is that of the file."""
    bare = _write(tmp_path, tensors)
    safe = tmp_path / "detector.safetensors"
    save_file(tensors, safe)
    for path in (bare, safe):
        weights = read_mask2former_weights(path)
        assert _equal(weights.tensors, tensors)
        assert weights.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert not weights.is_official


def test_what_mmdet_writes_about_a_training_is_passed_over(
    tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    """Numbers of numpy and curves of mmengine in ``meta`` do not stop the reading of the tensors."""
    from mmengine.logging import HistoryBuffer

    curve = HistoryBuffer()
    curve.update(0.5)
    meta = {"loss": np.float64(1.5), "step": np.int64(3), "history": np.arange(4.0), "curve": curve}
    for is_zip in (False, True):
        path = _write(tmp_path, {"meta": meta, "state_dict": tensors}, is_zip=is_zip)
        assert _equal(read_mask2former_weights(path).tensors, tensors)


@pytest.mark.parametrize("is_zip", [False, True])
def test_a_foreign_object_is_refused_by_name(
    tensors: dict[str, Tensor], tmp_path: Path, *, is_zip: bool
) -> None:
    """A pickle that asks for any other class or function is not read, and the error says which."""
    path = _write(tmp_path, {"meta": {"surprise": Foreign()}, "state_dict": tensors}, is_zip=is_zip)
    with pytest.raises(UsageError, match=r"would run \S*test_mask2former_weights\.Foreign when it is read"):
        read_mask2former_weights(path)


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
@pytest.mark.parametrize("name", OFFICIAL_FILES.values())
def test_a_file_that_is_not_what_its_name_says_is_refused(
    tensors: dict[str, Tensor], tmp_path: Path, name: str, damage: str
) -> None:
    """An official name promises a hash, and even one bit that differs is an error."""
    path = _write(tmp_path, tensors)
    content = bytearray(path.read_bytes())
    read_mask2former_weights(path)
    if damage == "truncated":
        del content[-1:]
    else:
        content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(UsageError, match="corrupt or incomplete"):
        read_mask2former_weights(path)
    official = tmp_path / name
    official.write_bytes(content)
    with pytest.raises(UsageError, match="its name says that its SHA-256 begins with"):
        read_mask2former_weights(official)


@pytest.mark.parametrize("is_zip", [False, True])
@pytest.mark.parametrize("kept", [0, 100, 5000])
def test_a_torso_under_another_name_is_refused(
    tensors: dict[str, Tensor], tmp_path: Path, kept: int, *, is_zip: bool
) -> None:
    """Where the name promises nothing, a file cut off is still an error in our words."""
    path = tmp_path / "mine.pth"
    path.write_bytes(_bytes(tensors, is_zip=is_zip)[:kept])
    with pytest.raises(UsageError, match="not a weight file of PyTorch, or it is damaged"):
        read_mask2former_weights(path)


def test_files_without_weights_are_refused(tmp_path: Path) -> None:
    """A missing file, other contents and a broken safetensors file are errors that name the file."""
    with pytest.raises(UsageError, match=r"nowhere\.pth cannot be read: No such file"):
        read_mask2former_weights(tmp_path / "nowhere.pth")
    with pytest.raises(UsageError, match="holds a list"):
        read_mask2former_weights(_write(tmp_path, [1, 2]))
    with pytest.raises(UsageError, match=r"holds the entries \['epoch'\]"):
        read_mask2former_weights(_write(tmp_path, {"epoch": 3}))
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"12345678")
    with pytest.raises(UsageError, match="not a safetensors file"):
        read_mask2former_weights(broken)


def _panoptic(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**tensors, "panoptic_head.cls_embed.weight": torch.zeros(134, 64)}


def _other_backbone(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    head = {name: tensor for name, tensor in tensors.items() if name.startswith("panoptic_head.")}
    return {"backbone.conv1.weight": torch.zeros(64, 3, 7, 7), **head}


def _another_network(_tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {"conv1.weight": torch.zeros(64, 3, 7, 7), "fc.bias": torch.zeros(1000)}


def _both_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**tensors, **mmdet2_names(tensors)}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (_panoptic, "one with 133 classes"),
        (_other_backbone, r"another backbone \(its first tensor: 'backbone\.conv1\.weight'\)"),
        (_another_network, r"another network \(2 tensors, the first is 'conv1\.weight'\)"),
        (_both_names, "mixes the names"),
    ],
)
def test_another_model_is_refused_in_words(
    tensors: dict[str, Tensor], tmp_path: Path, change: Any, found: str
) -> None:
    """The error says what was expected and found in a few words, and lists no keys."""
    with pytest.raises(UsageError, match=found) as caught:
        read_mask2former_weights(_write(tmp_path, change(tensors)))
    assert len(str(caught.value)) < 800


@pytest.mark.parametrize("name", OFFICIAL_FILES.values())
def test_either_official_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A file of either name in ``$SELFE_EVAL_WEIGHTS`` is taken, and nothing is downloaded."""
    (tmp_path / name).write_bytes(b"")
    monkeypatch.setenv("SELFE_EVAL_WEIGHTS", str(tmp_path))
    assert find_official_weights() == tmp_path / name


def test_what_is_downloaded_is_checked(tmp_path: Path) -> None:
    """A file with the right hash arrives under its name; with another hash nothing does."""
    source = tmp_path / "source"
    source.write_bytes(b"weights")
    prefix = hashlib.sha256(b"weights").hexdigest()[:8]
    arrived = download(source.as_uri(), tmp_path / "new" / "folder" / "weights.pth", hash_prefix=prefix)
    assert arrived.read_bytes() == b"weights"
    with pytest.raises(UsageError, match=r"downloading them failed: invalid hash value"):
        download(source.as_uri(), tmp_path / "other.pth", hash_prefix="00000000")
    assert not (tmp_path / "other.pth").exists()


def test_a_failed_download_says_where_to_put_the_file(tmp_path: Path) -> None:
    """The error holds the address, the path and the environment variable."""
    address = (tmp_path / "nothing").as_uri()
    with pytest.raises(UsageError, match="SELFE_EVAL_WEIGHTS") as caught:
        download(address, tmp_path / "weights.pth", hash_prefix="00000000")
    assert address in str(caught.value)
    assert str(tmp_path / "weights.pth") in str(caught.value)


def test_the_address_is_that_of_the_first_official_file() -> None:
    """The end of the address is a name we look for, and its last digits the hash that is asked for."""
    prefix, name = next(iter(OFFICIAL_FILES.items()))
    assert URL.endswith("/" + name)
    assert name.endswith(f"-{prefix}.pth")
