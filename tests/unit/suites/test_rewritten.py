"""Rewritten prompts: which files are taken, and what they may not change."""

from __future__ import annotations

import doctest
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from selfe_eval.errors import UsageError
from selfe_eval.records import Prompt, Suite
from selfe_eval.suites import rewritten
from selfe_eval.suites.registry import load_suite, metadata_lines
from selfe_eval.suites.rewritten import rewritten_suite, wordings

OPENMOJI = load_suite("openmoji")


def longer(prompt: Prompt) -> str:
    return f"{prompt.text}, sharp, in daylight - très net"


def lines_of(suite: Suite) -> list[str]:
    """The suite in the official form with every prompt rewritten."""
    return [json.dumps({**prompt.metadata(), "prompt": longer(prompt)}) for prompt in suite.prompts]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "long.jsonl"
    path.write_text("".join(line + "\n" for line in lines_of(OPENMOJI)))
    return path


def test_only_the_text_is_rewritten(file: Path) -> None:
    """Every prompt gets its line's text and keeps id, task and requirements; unseen prompts stay unseen."""
    suite = rewritten_suite(OPENMOJI, file)

    assert suite.name == "openmoji[rewritten]"
    assert suite.unseen == OPENMOJI.unseen
    assert list(suite.prompts) == [replace(prompt, text=longer(prompt)) for prompt in OPENMOJI.prompts]


def test_both_forms_of_a_file_are_one_suite(file: Path, tmp_path: Path) -> None:
    """Plain text and metadata lines with the same prompts are the same suite, also with Windows line ends."""
    plain = tmp_path / "long.txt"
    plain.write_bytes("\r\n".join(map(longer, OPENMOJI.prompts)).encode("utf-8-sig"))

    assert rewritten_suite(OPENMOJI, plain) == rewritten_suite(OPENMOJI, file)


def test_the_hash_is_of_its_own_lines(file: Path, tmp_path: Path) -> None:
    """What the suite writes reads back as the same suite, and its SHA-256 is of those bytes."""
    suite = rewritten_suite(OPENMOJI, file)
    own = tmp_path / "own.jsonl"
    own.write_bytes(metadata_lines(suite))

    assert suite.sha256 == hashlib.sha256(own.read_bytes()).hexdigest() != OPENMOJI.sha256
    assert rewritten_suite(OPENMOJI, own) == suite


def test_an_image_may_be_labelled_in_the_official_words(file: Path) -> None:
    """A rewritten suite has two wordings of the same requirements, an official one has one."""
    suite = rewritten_suite(OPENMOJI, file)

    assert wordings(suite) == [suite.prompts, OPENMOJI.prompts]
    assert wordings(OPENMOJI) == [OPENMOJI.prompts]


def with_line(number: int, line: str) -> str:
    lines = lines_of(OPENMOJI)
    return "\n".join([*lines[: number - 1], line, *lines[number:]])


OTHER_CLASS = json.dumps(OPENMOJI.prompts[0].metadata() | {"include": [{"class": "cow", "count": 1}]})
COUNTING = next(prompt for prompt in OPENMOJI.prompts if prompt.exclude)
LINES = lines_of(OPENMOJI)
PLAIN = list(map(longer, OPENMOJI.prompts))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("short.jsonl", "\n".join(LINES[:-1]), r"each of the 553 prompts .* holds 552 lines"),
        ("long.txt", "\n".join([*PLAIN, "one more"]), "holds 554 lines"),
        ("nothing.txt", "", "holds 0 lines"),
        (
            "swapped.jsonl",
            "\n".join([LINES[1], LINES[0], *LINES[2:]]),
            r"Line 1 .* expected .*bench.* found .*cow",
        ),
        (
            "class.jsonl",
            with_line(1, OTHER_CLASS),
            r"Line 1 .* does not ask for .* expected .*bench.*found .*cow",
        ),
        (
            "exclude.jsonl",
            with_line(COUNTING.prompt_id + 1, json.dumps({**COUNTING.metadata(), "exclude": []})),
            rf"Line {COUNTING.prompt_id + 1} .*Only the prompt may be rewritten",
        ),
        ("plain.jsonl", with_line(7, "a red car"), r"Line 7 .* as a JSON object .* found a red car.*\.txt"),
        ("list.jsonl", with_line(7, "[1]"), r"Line 7 .* found \[1\]"),
        (
            "blank.jsonl",
            with_line(1, json.dumps({**OPENMOJI.prompts[0].metadata(), "prompt": " "})),
            "Line 1 .* under the key prompt, found ' '",
        ),
        (
            "half.jsonl",
            with_line(1, json.dumps({**OPENMOJI.prompts[0].metadata(), "prompt": "\ud83d"})),
            r"Line 1 .* found '\\ud83d'",
        ),
        ("blank.txt", "\n".join([PLAIN[0], " ", *PLAIN[2:]]), "Line 2 .* is empty: expected a rewriting of"),
        ("same.jsonl", metadata_lines(OPENMOJI).decode(), "as they are.* Leave out --prompts"),
        ("same.txt", "\n".join(prompt.text for prompt in OPENMOJI.prompts), "as they are"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    """Wrong number, order, requirements or empty prompts name the line, what was expected and what is there."""
    (tmp_path / name).write_text(content)

    with pytest.raises(UsageError, match=message):
        rewritten_suite(OPENMOJI, tmp_path / name)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A missing file and one that is not UTF-8 say so."""
    with pytest.raises(UsageError, match="No such file"):
        rewritten_suite(OPENMOJI, tmp_path / "gone.txt")
    (tmp_path / "latin.txt").write_bytes("\n".join(PLAIN).encode("latin-1"))
    with pytest.raises(UsageError, match=r"as UTF-8 text: .*codec can't decode"):
        rewritten_suite(OPENMOJI, tmp_path / "latin.txt")


def test_the_examples_in_the_docstrings_hold() -> None:
    """Every doctest of the module gives what it shows."""
    result = doctest.testmod(rewritten)

    assert result.attempted > 0
    assert result.failed == 0
