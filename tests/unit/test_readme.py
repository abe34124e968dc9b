"""The README and its sisters are true of the code: files, verbs, options and counts."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from selfe_eval.cli.app import VERBS, load_verb
from selfe_eval.suites.registry import load_suite
from selfe_eval.train.presets import PRESETS
from tests.repository import ROOT, committed_entries, committed_files, file_map

README = Path("README.md")
MAPS = (README, Path("model/README.md"), Path("benchmarks/README.md"), Path("tests/README.md"))
DOCUMENTS = (*MAPS, Path("CONTRIBUTING.md"), Path("DESIGN.md"), Path("results/README.md"))

_BLOCK = re.compile(r"^```(?:bash|sh|console)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`(selfe-eval [^`\n]+)`")
_LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
_SHELL_WORDS = {"|", ">", "<", "&&"}


def text_of(document: Path) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def typed_commands(document: Path) -> list[list[str]]:
    """Every ``selfe-eval ...`` of a document's shell blocks and inline code, as words, program left out."""
    blocks = "\n".join(_BLOCK.findall(text_of(document))).replace("\\\n", " ")
    lines = [*blocks.splitlines(), *_INLINE.findall(text_of(document))]
    commands = []
    for line in lines:
        words: list[str] = []
        for word in [*shlex.split(line, comments=True), "&&"]:
            if word not in _SHELL_WORDS:
                words.append(word)
                continue
            if words[:1] == ["selfe-eval"]:
                commands.append(words[1:])
            words = []
    return commands


def option_names(command: Any) -> set[str]:
    """Of a command and of the commands below it."""
    own = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    return own.union(*map(option_names, getattr(command, "commands", {}).values()))


@pytest.mark.parametrize("document", MAPS, ids=str)
def test_file_maps_equal_the_disk(document: Path) -> None:
    """A file map names exactly the entries of every folder that it opens."""
    for folder, named in file_map(document).items():
        assert named == committed_entries(folder), f"the map of {folder} in {document}"


def test_the_readme_shows_every_verb() -> None:
    """Each verb of the command line stands in the README as it is typed."""
    shown = {words[0] for words in typed_commands(README)}

    assert shown >= set(VERBS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_commands_in_documents_use_verbs_and_options_that_exist(document: Path) -> None:
    """Every command that a document shows names a verb of the table and only options of that verb."""
    for words in typed_commands(document):
        verb, *rest = words
        if verb.startswith("-"):
            continue
        assert verb in VERBS, f"selfe-eval {' '.join(words)}"
        options = {word.split("=")[0] for word in rest if word.startswith("-") and word != "-"}
        assert options <= option_names(load_verb(verb)) | {"--help"}, f"selfe-eval {' '.join(words)}"


def test_commands_in_the_readme_parse() -> None:
    """The command line takes every README command as it stands: right types, nothing required missing."""
    for words in typed_commands(README):
        verb, *rest = words
        if not verb.startswith("-") and rest and "..." not in rest:
            load_verb(verb).make_context(verb, list(rest))


def test_make_targets_in_documents_exist() -> None:
    """Every ``make TARGET`` of the documents is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", text_of(Path("Makefile")), re.MULTILINE))
    for document in DOCUMENTS:
        named = set(re.findall(r"(?:^|`)make ([a-z]+)", text_of(document), re.MULTILINE))
        assert named <= targets, document


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link of a document ends at a committed file or folder."""
    committed = set(committed_files()) | {parent for path in committed_files() for parent in path.parents}
    for link in _LINK.findall(text_of(document)):
        target = (ROOT / document.parent / link).resolve().relative_to(ROOT)
        assert target in committed, f"{link} in {document}"


def test_the_first_commands_are_the_two_that_need_nothing_else() -> None:
    """A stranger's first block is make demo and make test."""
    block = _BLOCK.search(text_of(README))

    assert block is not None
    assert [line.split("#")[0].strip() for line in block.group(1).splitlines()] == ["make demo", "make test"]


def test_counts_in_the_readme_are_those_of_the_suites() -> None:
    """The numbers of prompts and of held-out prompts that the README states are the suite's own."""
    suite = load_suite("openmoji")
    held_out, total = re.findall(r"(\d+) of\s+the (\d+) prompts", text_of(README))[0]

    assert (int(held_out), int(total)) == (len(suite.unseen), len(suite.prompts))


def test_the_readme_shows_how_to_train_every_preset() -> None:
    """Each preset of ``selfe-eval train`` stands in the README as it is typed."""
    trained = {words[1] for words in typed_commands(README) if words[0] == "train" and len(words) > 1}

    assert trained >= set(PRESETS)
