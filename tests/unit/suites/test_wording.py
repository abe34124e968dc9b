from __future__ import annotations

from typing import Any

import pytest

from selfe_eval.records import Prompt
from selfe_eval.suites import wording

SPOKEN: list[tuple[Prompt, str, list[dict[str, Any]]]] = [
    (wording.single_object(0, "dog"), "a photo of a dog", [{"class": "dog", "count": 1}]),
    (
        wording.two_object(0, "oven", "dog"),
        "a photo of an oven and a dog",
        [{"class": "oven", "count": 1}, {"class": "dog", "count": 1}],
    ),
    (wording.counting(0, "bus", 3), "a photo of three buses", [{"class": "bus", "count": 3}]),
    (
        wording.colors(0, "oven", "red"),
        "a photo of a red oven",
        [{"class": "oven", "count": 1, "color": "red"}],
    ),
    (
        wording.position(0, "dog", "cat", "left of"),
        "a photo of a dog left of a cat",
        [{"class": "cat", "count": 1}, {"class": "dog", "count": 1, "position": ["left of", 0]}],
    ),
    (
        wording.color_attr(0, ("dog", "bus"), ("orange", "blue")),
        "a photo of an orange dog and a blue bus",
        [{"class": "dog", "count": 1, "color": "orange"}, {"class": "bus", "count": 1, "color": "blue"}],
    ),
]


@pytest.mark.parametrize(("prompt", "text", "include"), SPOKEN, ids=[text for _, text, _ in SPOKEN])
def test_a_sentence_says_what_its_requirements_ask(
    prompt: Prompt, text: str, include: list[dict[str, Any]]
) -> None:
    """Each kind has its words, its article before a vowel, and metadata in the official order."""
    assert prompt.text == text
    assert prompt.metadata()["include"] == include


def test_a_number_asked_is_not_exceeded() -> None:
    """Counting alone excludes something: one object more than asked."""
    prompts = [prompt for prompt, _, _ in SPOKEN]
    assert [prompt.task for prompt in prompts if prompt.exclude] == ["counting"]
    assert prompts[2].metadata()["exclude"] == [{"class": "bus", "count": 4}]
