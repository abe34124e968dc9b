"""Laws of the repository's texts: one version, tests that say what they test, nothing of one machine."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from pathlib import Path

import pytest

import selfe_eval
from tests.repository import ROOT, committed_files

MACHINE_PATHS = tuple("/" + folder + "/" for folder in ("home", "root", "work", "Users"))
"""Beginnings of paths that exist on one machine only."""

PLACEHOLDER = "TODO" + "-LEAD"
"""Marks a number that is still to be measured."""


def committed_texts() -> list[tuple[Path, str]]:
    texts = []
    for path in committed_files():
        content = (ROOT / path).read_bytes()
        if b"\0" not in content:
            texts.append((path, content.decode("utf-8")))
    return texts


def lines_with(word: str) -> list[str]:
    return [
        f"{path}:{number}"
        for path, text in committed_texts()
        if word in text
        for number, line in enumerate(text.splitlines(), start=1)
        if word in line
    ]


def laws() -> list[tuple[str, ast.FunctionDef]]:
    return [
        (f"{path}::{node.name}", node)
        for path in committed_files()
        if path.parts[0] == "tests" and path.name.startswith("test_")
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def test_one_version_everywhere() -> None:
    """Package, project file, changelog and citation name the same version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    changelog = re.findall(
        r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    citation = re.findall(
        r"^version: (\S+)", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE
    )

    assert selfe_eval.__version__ == project == changelog[0] == citation[0]


def test_every_test_states_its_law() -> None:
    """Each test function has a docstring that is a sentence."""
    silent = [name for name, node in laws() if not (ast.get_docstring(node) or "").endswith(".")]

    assert silent == []


@pytest.mark.parametrize("path", MACHINE_PATHS)
def test_no_text_names_a_path_of_one_machine(path: str) -> None:
    """No committed text holds an absolute path of the machine that it was written on."""
    assert lines_with(path) == []


def test_no_number_is_left_to_fill_in() -> None:
    """No committed text still holds the placeholder of a number to be measured."""
    assert lines_with(PLACEHOLDER) == []


def test_texts_end_in_one_newline() -> None:
    """Every committed text that people write ends in exactly one newline."""
    endings = (".md", ".py", ".toml", ".cff", ".yml")
    ragged = [
        path
        for path, text in committed_texts()
        if path.suffix in endings and text and text != text.rstrip("\n") + "\n"
    ]

    assert ragged == []


def test_what_the_model_page_names_is_there() -> None:
    """Every dotted name of the page that stands beside the paper can be imported."""
    page = (ROOT / "model" / "README.md").read_text(encoding="utf-8")
    names = re.findall(r"`(selfe\.[\w.]+)\.(\w+)`", page)

    assert len(names) > 20
    assert [
        f"{module}.{name}" for module, name in names if not hasattr(importlib.import_module(module), name)
    ] == []
