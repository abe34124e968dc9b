"""GenEval's six kinds of sentence, each with the requirements it stands for.

The official prompts and the captions of the openmoji world are spoken by the same functions, so they cannot
differ.

Source: djghosh13/geneval at af4902f, ``prompts/create_prompts.py`` (MIT).
"""

from __future__ import annotations

from selfe_eval.records import Prompt, Requirement
from selfe_eval.suites.vocabulary import NUMBER_WORDS, article, plural


def single_object(prompt_id: int, name: str) -> Prompt:
    """``a photo of a dog``."""
    return _prompt(prompt_id, "single_object", _noun(name), (Requirement(class_name=name, count=1),))


def two_object(prompt_id: int, first: str, second: str) -> Prompt:
    """``a photo of a dog and a cat``."""
    include = (Requirement(class_name=first, count=1), Requirement(class_name=second, count=1))
    return _prompt(prompt_id, "two_object", f"{_noun(first)} and {_noun(second)}", include)


def counting(prompt_id: int, name: str, count: int) -> Prompt:
    """``a photo of three dogs``, and not four."""
    return _prompt(
        prompt_id,
        "counting",
        f"{NUMBER_WORDS[count]} {plural(name)}",
        (Requirement(class_name=name, count=count),),
        (Requirement(class_name=name, count=count + 1),),
    )


def colors(prompt_id: int, name: str, color: str) -> Prompt:
    """``a photo of a red dog``."""
    include = (Requirement(class_name=name, count=1, color=color),)
    return _prompt(prompt_id, "colors", _noun(f"{color} {name}"), include)


def position(prompt_id: int, moved: str, target: str, relation: str) -> Prompt:
    """``a photo of a dog left of a cat``; the target comes first in the metadata, as in GenEval."""
    include = (
        Requirement(class_name=target, count=1),
        Requirement(class_name=moved, count=1, position=(relation, 0)),
    )
    return _prompt(prompt_id, "position", f"{_noun(moved)} {relation} {_noun(target)}", include)


def color_attr(prompt_id: int, names: tuple[str, str], paints: tuple[str, str]) -> Prompt:
    """``a photo of a red dog and a blue cat``."""
    include = tuple(
        Requirement(class_name=name, count=1, color=color) for name, color in zip(names, paints, strict=True)
    )
    first, second = (_noun(f"{color} {name}") for name, color in zip(names, paints, strict=True))
    return _prompt(prompt_id, "color_attr", f"{first} and {second}", include)


def _noun(phrase: str) -> str:
    return f"{article(phrase)} {phrase}"


def _prompt(
    prompt_id: int,
    task: str,
    what: str,
    include: tuple[Requirement, ...],
    exclude: tuple[Requirement, ...] = (),
) -> Prompt:
    return Prompt(prompt_id=prompt_id, task=task, text=f"a photo of {what}", include=include, exclude=exclude)
