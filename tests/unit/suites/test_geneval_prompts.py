"""The 553 prompts."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest

from selfe_eval.errors import UntrustworthyError
from selfe_eval.records import COLORS, RELATIONS, TASKS, Prompt
from selfe_eval.suites import geneval_prompts
from selfe_eval.suites.geneval_prompts import generate, metadata_bytes, text_bytes


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    return generate()


def test_both_official_files_come_out_byte_for_byte(prompts: list[Prompt]) -> None:
    """Metadata and sentences hash to the files of djghosh13/geneval at af4902f."""
    metadata = hashlib.sha256(metadata_bytes(prompts)).hexdigest()
    text = hashlib.sha256(text_bytes(prompts)).hexdigest()

    assert metadata == "5c48e0813e812e3c373fa5c8ed07a8f0a483be30272b4427b0559c8048e67c13"
    assert text == "55b6e3650e980c13daf30569eb666e000faf19bfc2b7b4cbe999fcdb7aa9d680"


def test_tasks_follow_each_other_with_the_official_numbers(prompts: list[Prompt]) -> None:
    """The tasks come in their order with 80, 99, 80, 94, 100 and 100 prompts; ids count from 0."""
    counts = Counter(prompt.task for prompt in prompts)

    assert [(task, counts[task]) for task in TASKS] == [
        ("single_object", 80),
        ("two_object", 99),
        ("counting", 80),
        ("colors", 94),
        ("position", 100),
        ("color_attr", 100),
    ]
    assert [prompt.task for prompt in prompts] == [task for task in TASKS for _ in range(counts[task])]
    assert [prompt.prompt_id for prompt in prompts] == list(range(553))


def test_no_sentence_occurs_twice_and_no_class_twice_in_one(prompts: list[Prompt]) -> None:
    """All sentences differ, and a prompt never asks for a class in two requirements."""
    assert len({prompt.text for prompt in prompts}) == 553
    for prompt in prompts:
        names = [requirement.class_name for requirement in prompt.include]
        assert len(names) == len(set(names))


def test_every_color_and_relation_is_asked_as_often_as_officially(prompts: list[Prompt]) -> None:
    """Colours are used 24 to 35 times each, relations 28, 27, 26 and 19 times; people have no colour."""
    asked = [requirement for prompt in prompts for requirement in prompt.include]
    colors = Counter(requirement.color for requirement in asked if requirement.color)
    relations = Counter(requirement.position[0] for requirement in asked if requirement.position)

    assert set(colors) == set(COLORS)
    assert (min(colors.values()), max(colors.values())) == (24, 35)
    assert [relations[name] for name in RELATIONS] == [19, 27, 26, 28]
    assert not any(requirement.color for requirement in asked if requirement.class_name == "person")


def test_counting_excludes_one_object_more(prompts: list[Prompt]) -> None:
    """Only counting excludes: the same class, one more than asked, which is two, three or four."""
    for prompt in prompts:
        if prompt.task == "counting":
            (asked,), (limit,) = prompt.include, prompt.exclude
            assert (limit.class_name, limit.count) == (asked.class_name, asked.count + 1)
            assert asked.count in {2, 3, 4}
        else:
            assert prompt.exclude == ()


@pytest.mark.parametrize("text", ["a photo of two toothbrushs", "a photo of an orange orange"])
def test_odd_sentences_are_kept(prompts: list[Prompt], text: str) -> None:
    """The official set's wrong plurals and funny colours are there, unrepaired."""
    assert text in {prompt.text for prompt in prompts}


def test_metadata_reads_back_to_the_same_prompts(prompts: list[Prompt]) -> None:
    """A prompt survives the way through its official metadata."""
    assert [Prompt.from_metadata(prompt.prompt_id, prompt.metadata()) for prompt in prompts] == prompts


def test_another_random_stream_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the drawn numbers change, the error says so and what to do, instead of scoring other prompts."""
    monkeypatch.setattr(geneval_prompts, "SEED", 44)

    with pytest.raises(
        UntrustworthyError, match=r"expected to have the SHA-256 5c48e.* Install another numpy"
    ):
        generate()
