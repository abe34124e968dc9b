from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from selfe_eval.errors import UsageError
from selfe_eval.score.clip_file import read_clip_file
from selfe_eval.score.published_clip import OPENAI_FILES

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(3, 2), "a.bias": torch.tensor([1.0, -2.0, 0.5])}


class _Named(nn.Module):
    """A network with the two tensors of WEIGHTS, and the numbers that OpenAI's archive keeps beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(2, 3)
        self.load_state_dict(WEIGHTS)
        self.register_buffer("input_resolution", torch.tensor(224))
        self.register_buffer("context_length", torch.tensor(77))
        self.register_buffer("vocab_size", torch.tensor(49408))

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x)  # type: ignore[no-any-return]


class _Code:
    """What runs code where it is unpickled: it makes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self._path,))


def _same(found: Any, wanted: dict[str, Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.bin"])
def test_tensors_are_read_with_the_hash_of_their_file(tmp_path: Path, name: str) -> None:
    """Both safe forms give the stored tensors and say which file they were."""
    path = tmp_path / name
    if path.suffix == ".safetensors":
        save_file(WEIGHTS, path)
    else:
        torch.save(WEIGHTS, path)
    file = read_clip_file(path)
    assert _same(file.tensors, WEIGHTS)
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_training_checkpoint_of_open_clip_is_unwrapped(tmp_path: Path) -> None:
    """The weights are under "state_dict", and parallel training put "module." before each name."""
    wrapped = {"epoch": 3, "name": "x", "state_dict": {f"module.{key}": WEIGHTS[key] for key in WEIGHTS}}
    torch.save(wrapped, tmp_path / "epoch_3.pt")
    assert _same(read_clip_file(tmp_path / "epoch_3.pt").tensors, WEIGHTS)


def test_code_in_a_weight_file_does_not_run(tmp_path: Path) -> None:
    """A pickle that would run code is refused, and the code has not run."""
    trace = tmp_path / "ran"
    torch.save({"a.weight": _Code(trace)}, tmp_path / "w.pt")
    with pytest.raises(UsageError, match="can run code and are never opened"):
        read_clip_file(tmp_path / "w.pt")
    assert not trace.exists()


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04 half a zip"])
def test_a_damaged_file_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    """A torn download is one paragraph, not a traceback, and none of torch's advice to read it unsafely."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match="cannot be read as weights of a CLIP model") as caught:
        read_clip_file(tmp_path / name)
    assert "weights_only" not in str(caught.value)


def test_a_file_without_named_tensors_is_refused(tmp_path: Path) -> None:
    """A single tensor is no network."""
    torch.save(torch.zeros(3), tmp_path / "w.pt")
    with pytest.raises(UsageError, match="should hold tensors by name and holds a Tensor"):
        read_clip_file(tmp_path / "w.pt")


@pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated:FutureWarning")
def test_of_all_torchscript_archives_only_the_known_ones_are_opened(tmp_path: Path) -> None:
    """OpenAI's files are programs, taken by their hashes; their three numbers are no weights. Others are refused."""
    path = tmp_path / "ViT-L-14.pt"
    torch.jit.save(torch.jit.script(_Named()), path)
    with pytest.raises(UsageError, match=f"TorchScript archive.*{'.*'.join(OPENAI_FILES)}"):
        read_clip_file(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert _same(read_clip_file(path, trusted=frozenset({sha256})).tensors, WEIGHTS)


def test_weights_fit_a_network_whole_or_not_at_all(tmp_path: Path) -> None:
    """Every name and shape must agree; half-precision weights fill a float32 network exactly."""
    save_file({name: tensor.half() for name, tensor in WEIGHTS.items()}, tmp_path / "w.safetensors")
    file = read_clip_file(tmp_path / "w.safetensors")
    network = nn.ModuleDict({"a": nn.Linear(2, 3)})
    file.load_into(network, "two by three")
    assert network.state_dict()["a.weight"].dtype == torch.float32
    assert _same(network.state_dict(), WEIGHTS)
    with pytest.raises(UsageError, match=r"not hold the weights of wider: 2 of 2 tensors.*'a.bias' first"):
        file.load_into(nn.ModuleDict({"a": nn.Linear(2, 4)}), "wider")
    with pytest.raises(UsageError, match=r"2 of 4 tensors.*'b.bias' first"):
        file.load_into(nn.ModuleDict({"a": nn.Linear(2, 3), "b": nn.Linear(2, 3)}), "longer")
