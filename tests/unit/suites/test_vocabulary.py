"""The class names and the spelling rules."""

from __future__ import annotations

import doctest
import hashlib

import pytest

from selfe_eval.suites import registry, vocabulary
from selfe_eval.suites.vocabulary import CLASSES, article, plural


def test_there_are_eighty_different_classes_in_coco_order() -> None:
    """The class list has COCO's length, order and ends, with GenEval's three renamed classes."""
    assert len(CLASSES) == len(set(CLASSES)) == 80
    assert (CLASSES[0], CLASSES[79]) == ("person", "toothbrush")
    assert CLASSES[64:67] == ("computer mouse", "tv remote", "computer keyboard")


def test_the_classes_are_the_official_file() -> None:
    """One name a line, the classes hash to object_names.txt of djghosh13/geneval at af4902f."""
    names = "".join(name + "\n" for name in CLASSES).encode()

    assert (
        hashlib.sha256(names).hexdigest()
        == "608f6a0e5c8ca1c7a92b818430141fe268c85b7930b50f4160f1d65893b5bacd"
    )


@pytest.mark.parametrize(
    ("noun", "expected"),
    [("apple", "an"), ("umbrella", "an"), ("orange oven", "an"), ("bench", "a"), ("tv", "a")],
)
def test_the_article_follows_the_first_letter(noun: str, expected: str) -> None:
    """Vowel letters take "an", all others "a"."""
    assert article(noun) == expected


@pytest.mark.parametrize(
    ("noun", "expected"),
    [("bus", "buses"), ("knife", "knifes"), ("sheep", "sheeps"), ("wine glass", "wine glasses")],
)
def test_the_plural_is_geneval_s_and_not_english(noun: str, expected: str) -> None:
    """Words in s take "es", all others "s", right or wrong."""
    assert plural(noun) == expected


@pytest.mark.parametrize("module", [vocabulary, registry])
def test_the_examples_in_the_docstrings_hold(module: object) -> None:
    """Every doctest of the package gives what it shows."""
    result = doctest.testmod(module)  # type: ignore[arg-type]

    assert result.attempted > 0
    assert result.failed == 0
