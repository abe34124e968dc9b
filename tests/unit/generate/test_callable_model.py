from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from selfe_eval.errors import UsageError
from selfe_eval.generate.callable_model import load_module_generator, module_files
from selfe_eval.provenance import bytes_sha256
from tests.repository import ROOT

PAGE = (ROOT / "selfe_eval" / "generate" / "README.md").read_text(encoding="utf-8")
FUNCTION, TIM = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

GENERATOR = """
class Flat:
    name = "flat"
    def nfe(self, num_steps): return num_steps
    def generate(self, prompts, seeds, num_steps): return None
    def describe(self): return {"adapter": "flat"}

made = Flat()

def make(): return Flat()

class Box:
    inside = made

def no_generator(): return 3

def broken(): raise RuntimeError("no weights")
"""


@pytest.fixture
def flat(here: Path) -> Path:
    """A module ``flat`` in the working directory."""
    (here / "flat.py").write_text(GENERATOR)
    return here


@pytest.mark.parametrize("attribute", ["Flat", "made", "make", "Box.inside"])
def test_an_object_a_class_and_a_function_that_makes_one_are_generators(flat: Path, attribute: str) -> None:
    """Whatever gives an object of the protocol without arguments is taken, as it is."""
    del flat
    generator = load_module_generator(f"flat:{attribute}")
    assert (generator.name, generator.nfe(4), generator.describe()) == ("flat", 4, {"adapter": "flat"})


def test_the_function_of_the_page_draws(here: Path) -> None:
    """The page's short example works as pasted: an image for each prompt, by its seed alone, NFE unknown."""
    (here / "my_model.py").write_text(FUNCTION)
    generator = load_module_generator("my_model:draw")
    images = generator.generate(["a dog", "a cat"], [7, 8], 4)
    assert images.shape == (2, 64, 64, 3)
    assert images.dtype == np.uint8
    assert np.array_equal(generator.generate(["a cat"], [8], 1)[0], images[1])
    assert (generator.name, generator.nfe(4)) == ("my_model:draw", None)
    assert generator.describe() == {"adapter": "my_model:draw"}


def test_the_tim_of_the_page_keeps_the_protocol(here: Path) -> None:
    """With its marked parts filled in, the page's TiM draws 1024 px from each seed's noise and counts guided steps twice."""
    (here / "my_tim.py").write_text(TIM)
    (here / "checkpoints").mkdir()
    (here / "checkpoints" / "t2i_model.bin").write_bytes(b"weights")
    generator: Any = load_module_generator("my_tim:TiM")
    guided: list[bool] = []

    def sample(_network: object, *, num_steps: int, **given: Any) -> torch.Tensor:
        times = torch.linspace(given["T_max"], 0, num_steps + 1)[:-1]
        guided.extend(bool(time < given["T_max"]) for time in times)
        assert len(given["y"]) == len(given["y_null"]) == len(given["z"])
        return torch.stack([given["z"]] * (num_steps + 1))

    generator.schedule = SimpleNamespace(sample=sample)
    generator.read = len_of_each
    generator.decode = lambda latents: latents[:, :3].repeat_interleave(32, 2).repeat_interleave(32, 3)
    images = generator.generate(["a dog", "a cat"], [7, 8], 4)
    assert images.shape == (2, 1024, 1024, 3)
    assert images.dtype == np.uint8
    assert np.array_equal(generator.generate(["a cat"], [8], 1)[0], images[1])
    assert generator.nfe(4) == 4 + sum(guided[:4])
    assert generator.describe()["weights"] == bytes_sha256(b"weights")
    assert TIM.count("FILL IN") == 4


def len_of_each(prompts: list[str]) -> torch.Tensor:
    return torch.tensor([[len(prompt)] for prompt in prompts])


def test_the_source_file_is_hashed_and_not_run(here: Path) -> None:
    """Planning a run of a module hashes its file, also of a package, and imports at most the packages around it."""
    (here / "alone.py").write_text("raise SystemExit")
    assert module_files("alone:x") == {"alone.py": bytes_sha256(b"raise SystemExit")}
    (here / "boxes").mkdir()
    (here / "boxes" / "__init__.py").write_text("")
    (here / "boxes" / "inner.py").write_text("raise SystemExit")
    assert set(module_files("boxes.inner:x")) == {"inner.py"}
    assert set(module_files("boxes:x")) == {"__init__.py"}
    assert "alone" not in sys.modules
    assert "boxes.inner" not in sys.modules


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("absent:x", r"no module 'absent'.*absent\.py"),
        ("flat.absent:x", r"no module 'flat\.absent'"),
        ("absent.inner:x", "no module 'absent'"),
        ("math:sin", "source file"),
        ("folder:x", "folder without __init__"),
    ],
)
def test_a_module_without_source_is_no_model(flat: Path, target: str, message: str) -> None:
    """A module that is not there, or has no file to hash, is refused with what was expected."""
    (flat / "folder").mkdir()
    with pytest.raises(UsageError, match=message):
        module_files(target)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("flat:Round", r"has no Round\. It has: Box, Flat, .*make"),
        ("flat:no_generator", r"found int without name and nfe and generate and describe"),
        ("flat:broken", r"Calling broken failed with RuntimeError: no weights .*flat\.py, line \d+"),
        ("sick:x", r"Importing sick failed with ZeroDivisionError.*sick\.py, line 1"),
        ("needy:x", r"Importing needy failed with ModuleNotFoundError.*no_such_package"),
        ("json:dumps", r"found function without name"),
        ("absent:x", "no module 'absent'"),
    ],
)
def test_what_is_no_generator_is_refused(flat: Path, target: str, message: str) -> None:
    """Code that fails is named with its line, and what is no generator with what it lacks."""
    (flat / "sick.py").write_text("1 / 0")
    (flat / "needy.py").write_text("import no_such_package")
    with pytest.raises(UsageError, match=message):
        load_module_generator(target)
