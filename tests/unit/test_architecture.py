"""The cuts of the code: who may import whom, what every --help may load, and how files are named."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from selfe_eval.cli.app import VERBS
from selfe_eval.score.detectors.registry import DETECTORS
from selfe_eval.score.features.registry import EXTRACTORS
from selfe_eval.train.presets import PRESETS
from tests.repository import ROOT

LAYERS = (
    ("errors", "records"),
    ("metrics",),
    ("ranks",),
    ("devices", "provenance", "resources", "seeds"),
    ("suites", "runs"),
    ("openmoji",),
    ("generate", "score", "stats"),
    ("report", "train"),
    ("pipeline",),
    ("doctor",),
    ("cli", "pytest_plugin"),
    ("__main__",),
)
"""Parts of selfe_eval from the bottom up. A part imports itself and lower layers, never its neighbours."""

TORCH_FREE = (
    "errors",
    "records",
    "metrics",
    "provenance",
    "resources",
    "seeds",
    "suites",
    "runs",
    "stats",
    "report",
)
"""Parts that never import torch, not even late."""

REACH_SELFE = ("generate", "train")
"""The parts of selfe_eval that know the model package."""

TENSOR_PACKAGES = {"open_clip", "safetensors", "selfe", "torch", "torchvision"}

SHAPELESS_NAMES = {"common", "helper", "helpers", "misc", "tools", "util", "utils"}


@cache
def sources(package: str) -> tuple[Path, ...]:
    return tuple(sorted((ROOT / package).rglob("*.py")))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[str]:
    """Dotted names that a file imports anywhere in it; the names of ``from x import y`` as ``x.y``."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively; absolute names can be searched for"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part_of(path: Path) -> str:
    """The part of selfe_eval that a file belongs to; empty for the package's own ``__init__``."""
    name = path.relative_to(ROOT / "selfe_eval").parts[0].removesuffix(".py")
    return "" if name == "__init__" else name


def part_of_import(name: str) -> str:
    """The part that a dotted name of selfe_eval belongs to; empty for what the package itself offers."""
    name = name.split(".")[1] if "." in name else ""
    return name if any(name in layer for layer in LAYERS) else ""


def own_imports(path: Path) -> set[str]:
    return {name for name in imports(path) if name.split(".")[0] == "selfe_eval"}


def test_every_part_of_the_harness_has_a_layer() -> None:
    """A new package or module at the top of selfe_eval needs a place in the order of layers."""
    on_disk = {part_of(path) for path in sources("selfe_eval")} - {""}

    assert on_disk == {part for layer in LAYERS for part in layer}


def test_imports_point_downwards() -> None:
    """A part of the harness imports only itself and parts of lower layers, also inside functions."""
    level = {part: number for number, layer in enumerate(LAYERS) for part in layer}
    upward = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources("selfe_eval")
        for name in own_imports(path)
        for own, other in [(part_of(path), part_of_import(name))]
        if other and own != other and (not own or level[other] >= level[own])
    ]

    assert upward == []


def test_the_model_package_knows_nothing_of_the_harness() -> None:
    """The package selfe imports no selfe_eval, so that it can be used, and read, alone."""
    assert [path for path in sources("model/selfe") if own_imports(path)] == []


def test_the_harness_reaches_the_model_package_at_two_places() -> None:
    """Only the generator adapter and the training recipes import selfe: everything else meets it as files."""
    reaching = {
        part_of(path)
        for path in sources("selfe_eval")
        if any(name.split(".")[0] == "selfe" for name in imports(path))
    }

    assert reaching <= set(REACH_SELFE)


def test_planning_statistics_and_reports_need_no_tensors() -> None:
    """What reads records and writes tables never imports torch or the model package, not even late."""
    loading = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources("selfe_eval")
        if part_of(path) in TORCH_FREE
        for name in imports(path)
        if name.split(".")[0] in TENSOR_PACKAGES
    ]

    assert loading == []


def test_no_verb_loads_torch_before_it_works() -> None:
    """Importing the package, listing the verbs and building every verb's --help leaves torch out."""
    program = (
        "import sys, selfe_eval\n"
        "from selfe_eval.cli.app import VERBS, command, load_verb\n"
        "command()\n"
        "verbs = [load_verb(name) for name in VERBS]\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))\n"
    )

    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout

    assert TENSOR_PACKAGES & set(shown.split()) == set()


@pytest.mark.parametrize(
    "target",
    [
        *(verb.target for verb in VERBS.values()),
        *DETECTORS.values(),
        *EXTRACTORS.values(),
        *(preset.function for preset in PRESETS.values()),
    ],
)
def test_tables_name_functions_that_exist(target: str) -> None:
    """Every ``module:function`` of a lookup table, or verb of verbs, is defined there, though nothing imports it yet."""
    module, function = target.split(":")
    path = ROOT / Path(*module.split(".")).with_suffix(".py")

    defined = {node.name for node in parsed(path).body if isinstance(node, ast.FunctionDef)}
    assigned = [node.targets for node in parsed(path).body if isinstance(node, ast.Assign)]
    defined |= {target.id for targets in assigned for target in targets if isinstance(target, ast.Name)}

    assert function in defined


def test_names_say_what_a_module_is_about() -> None:
    """No module or package is called utils, helpers, common or misc: such a name takes in anything."""
    named = [
        path
        for package in ("selfe_eval", "model/selfe", "benchmarks", "tests")
        for path in sources(package)
        if {path.stem, path.parent.name} & SHAPELESS_NAMES
    ]

    assert named == []


def test_every_module_says_what_it_is() -> None:
    """Each file of both packages and of the timing programs opens with a docstring."""
    silent = [
        path
        for package in ("selfe_eval", "model/selfe", "benchmarks")
        for path in sources(package)
        if not ast.get_docstring(parsed(path))
    ]

    assert silent == []
