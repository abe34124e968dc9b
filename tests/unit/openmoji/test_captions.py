from __future__ import annotations

import pytest

from selfe_eval.openmoji import captions
from selfe_eval.records import Prompt
from selfe_eval.suites.registry import load_suite


def spoken_again(prompt: Prompt) -> Prompt:
    """The prompt composed anew from what its metadata ask."""
    first, last = prompt.include[0], prompt.include[-1]
    names, number = (first.class_name, last.class_name), prompt.prompt_id
    if prompt.task == "single_object":
        return captions.single_object(number, names[0])
    if prompt.task == "two_object":
        return captions.two_object(number, *names)
    if prompt.task == "counting":
        return captions.counting(number, names[0], first.count)
    if prompt.task == "colors":
        return captions.colors(number, names[0], str(first.color))
    if prompt.task == "position":
        assert last.position is not None
        return captions.position(number, names[1], names[0], last.position[0])
    return captions.color_attr(number, names, (str(first.color), str(last.color)))


@pytest.mark.parametrize("prompt", load_suite("geneval").prompts[::7], ids=lambda prompt: prompt.text)
def test_captions_are_spoken_as_the_official_prompts(prompt: Prompt) -> None:
    """Composing a prompt from its metadata gives the official sentence, its article and its plural."""
    assert spoken_again(prompt) == prompt
