from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from selfe_eval.errors import UsageError
from selfe_eval.score.judge_weights import read_weights, write_weights

FORMAT = "test/1"


def _written(folder: Path) -> nn.Linear:
    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    write_weights(folder, network.state_dict(), {"format": FORMAT, "name": "t"})
    return network


def test_weights_come_back_as_written(tmp_path: Path) -> None:
    """Matrices survive in 16 bits, vectors exactly."""
    network = _written(tmp_path)
    other = nn.Linear(3, 2)
    read_weights(tmp_path, expected_format=FORMAT).load_into(other)
    assert torch.equal(other.bias, network.bias)
    assert torch.equal(other.weight, network.weight.half().float())


def test_a_changed_weight_file_is_refused(tmp_path: Path) -> None:
    """One other byte and the hash does not fit."""
    _written(tmp_path)
    path = tmp_path / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(UsageError, match="SHA-256"):
        read_weights(tmp_path, expected_format=FORMAT)


def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path) -> None:
    """Garbage with the right hash is still an error, in our own words."""
    _written(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"garbage")
    config = json.loads((tmp_path / "config.json").read_text())
    config["files"]["model.safetensors"] = hashlib.sha256(b"garbage").hexdigest()
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="not a safetensors file"):
        read_weights(tmp_path, expected_format=FORMAT)


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    """The error says which file is not there."""
    _written(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(UsageError, match=f"{missing}.* (is|are) missing"):
        read_weights(tmp_path, expected_format=FORMAT)


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "other/1"}'])
def test_a_config_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    """Broken JSON, a wrong type and another format are all usage errors."""
    _written(tmp_path)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UsageError, match=r"config\.json"):
        read_weights(tmp_path, expected_format=FORMAT)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    """Names and shapes must agree exactly."""
    _written(tmp_path)
    weights = read_weights(tmp_path, expected_format=FORMAT)
    with pytest.raises(UsageError, match="do not fit"):
        weights.load_into(nn.Linear(4, 2))
