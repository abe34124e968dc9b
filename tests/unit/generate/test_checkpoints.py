from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfe_eval.errors import UsageError
from selfe_eval.generate.checkpoints import bundled_checkpoints, find_checkpoint, verify_checkpoint


@pytest.fixture
def copy(random_checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint that a test may spoil."""
    return Path(shutil.copytree(random_checkpoint, tmp_path / "copy"))


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def test_a_folder_and_its_weights_file_are_the_same_checkpoint(random_checkpoint: Path) -> None:
    """--ckpt takes either; name, suite and hashes come from config.json."""
    by_folder = find_checkpoint(str(random_checkpoint))
    assert by_folder == find_checkpoint(str(random_checkpoint / "model.safetensors"))
    assert (by_folder.name, by_folder.suite) == ("random", "openmoji")
    assert set(by_folder.sha256) == {"config.json", "model.safetensors"}
    verify_checkpoint(by_folder)


def test_every_bundled_checkpoint_is_whole() -> None:
    """What travels with the package has the hashes it states, and is found by its name."""
    for name, checkpoint in bundled_checkpoints().items():
        assert find_checkpoint(name) == checkpoint
        verify_checkpoint(checkpoint)


def test_a_cut_file_is_refused_with_both_hashes(copy: Path) -> None:
    """A truncated download is found before anything is computed: expected and found hash are named."""
    weights = copy / "model.safetensors"
    expected = find_checkpoint(str(copy)).sha256["model.safetensors"]
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(UsageError, match=rf"expected SHA-256 {expected} .*, found [0-9a-f]{{64}}"):
        verify_checkpoint(find_checkpoint(str(copy)))


def test_missing_weights_are_named(copy: Path) -> None:
    """A folder without its weights says which file is missing."""
    (copy / "model.safetensors").unlink()
    with pytest.raises(UsageError, match=r"model\.safetensors cannot be read: No such file"):
        verify_checkpoint(find_checkpoint(str(copy)))


def test_an_unknown_name_and_an_unknown_path_are_told_apart(tmp_path: Path) -> None:
    """A name gets the list of names; a path gets what was expected there."""
    with pytest.raises(UsageError, match="Unknown checkpoint 'selfe-tyni'"):
        find_checkpoint("selfe-tyni")
    with pytest.raises(UsageError, match=r"No checkpoint at .*gone: expected a folder"):
        find_checkpoint(str(tmp_path / "gone"))
    (tmp_path / "weights.safetensors").touch()
    with pytest.raises(UsageError, match=r"expected config\.json"):
        find_checkpoint(str(tmp_path / "weights.safetensors"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: config.update(format="other/1"), "says 'other/1'"),
        (lambda config: config.pop("name"), "must have a 'name'"),
        (lambda config: config.update(files={}), "must have a 'name'"),
        (lambda config: config.update(files={"../model.safetensors": "0" * 64}), "must have a 'name'"),
        (lambda config: config.update(files={"model.safetensors": "zz"}), "must have a 'name'"),
        (lambda config: config.update(files={"other.safetensors": "0" * 64}), "must have a 'name'"),
    ],
    ids=["format", "no name", "no hashes", "path outside", "no hash", "other weights"],
)
def test_a_config_of_another_kind_is_refused(
    copy: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    """Another format, no name, no hash, or a file outside the folder is refused with the reason."""
    edit(copy, change)
    with pytest.raises(UsageError, match=message):
        find_checkpoint(str(copy))


@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff"])
def test_a_broken_config_is_an_error_and_no_traceback(copy: Path, content: bytes) -> None:
    """config.json that is no JSON object names itself."""
    (copy / "config.json").write_bytes(content)
    with pytest.raises(UsageError, match=r"config\.json"):
        find_checkpoint(str(copy))


def test_other_weights_are_refused(copy: Path) -> None:
    """Another .safetensors file in the folder, named by config.json or not, is never silently replaced."""
    shutil.copy(copy / "model.safetensors", copy / "other.safetensors")
    edit(copy, lambda config: config["files"].update({"other.safetensors": "0" * 64}))
    with pytest.raises(UsageError, match=r"other\.safetensors would not be loaded"):
        find_checkpoint(str(copy / "other.safetensors"))
