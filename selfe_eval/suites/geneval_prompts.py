"""GenEval's 553 prompts, drawn again by our own code in the order of the official generator.

The draws are numpy's ``default_rng(43)``, 100 of every task but the first, exact duplicates dropped: 580
drawn, 553 kept. No copy of the official file is needed; its SHA-256 decides whether ours is the same.

Source: djghosh13/geneval at af4902f, ``prompts/create_prompts.py`` (MIT).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from selfe_eval.errors import UntrustworthyError
from selfe_eval.records import COLORS, RELATIONS, Prompt, Requirement
from selfe_eval.suites.vocabulary import CLASSES, NUMBER_WORDS, article, plural

SEED = 43
"""The official generator's seed."""

SAMPLES_PER_TASK = 100
"""Draws of every task but ``single_object``, before duplicates are dropped."""

METADATA_SHA256 = "5c48e0813e812e3c373fa5c8ed07a8f0a483be30272b4427b0559c8048e67c13"
"""Of the official ``evaluation_metadata.jsonl``."""

TEXT_SHA256 = "55b6e3650e980c13daf30569eb666e000faf19bfc2b7b4cbe999fcdb7aa9d680"
"""Of the official ``generation_prompts.txt``."""

_NUM_CLASSES = len(CLASSES)
_PERSON = CLASSES.index("person")

_Sample = tuple[str, tuple[Requirement, ...], tuple[Requirement, ...], str]
"""(task, include, exclude, text): everything of a prompt but its number."""


def _noun(phrase: str) -> str:
    return f"{article(phrase)} {phrase}"


def _not_person(draw: int) -> str:
    """The class of a draw from 0..78: colour tasks skip ``person``."""
    return CLASSES[(draw + 1 + _PERSON) % _NUM_CLASSES]


def _single_object(rng: np.random.Generator) -> Iterator[_Sample]:
    for index in rng.choice(_NUM_CLASSES, size=_NUM_CLASSES, replace=False):
        name = CLASSES[index]
        yield "single_object", (Requirement(class_name=name, count=1),), (), f"a photo of {_noun(name)}"


def _two_object(rng: np.random.Generator) -> Iterator[_Sample]:
    for _ in range(SAMPLES_PER_TASK):
        first, second = (CLASSES[index] for index in rng.choice(_NUM_CLASSES, size=2, replace=False))
        include = (Requirement(class_name=first, count=1), Requirement(class_name=second, count=1))
        yield "two_object", include, (), f"a photo of {_noun(first)} and {_noun(second)}"


def _counting(rng: np.random.Generator) -> Iterator[_Sample]:
    for _ in range(SAMPLES_PER_TASK):
        name = CLASSES[rng.choice(_NUM_CLASSES)]
        count = int(rng.integers(2, 4, endpoint=True))
        include = (Requirement(class_name=name, count=count),)
        exclude = (Requirement(class_name=name, count=count + 1),)
        yield "counting", include, exclude, f"a photo of {NUMBER_WORDS[count]} {plural(name)}"


def _colors(rng: np.random.Generator) -> Iterator[_Sample]:
    for _ in range(SAMPLES_PER_TASK):
        name = _not_person(int(rng.choice(_NUM_CLASSES - 1)))
        color = COLORS[rng.choice(len(COLORS))]
        include = (Requirement(class_name=name, count=1, color=color),)
        yield "colors", include, (), f"a photo of {_noun(f'{color} {name}')}"


def _position(rng: np.random.Generator) -> Iterator[_Sample]:
    for _ in range(SAMPLES_PER_TASK):
        moved, target = (CLASSES[index] for index in rng.choice(_NUM_CLASSES, size=2, replace=False))
        relation = RELATIONS[rng.choice(len(RELATIONS))]
        include = (
            Requirement(class_name=target, count=1),
            Requirement(class_name=moved, count=1, position=(relation, 0)),
        )
        yield "position", include, (), f"a photo of {_noun(moved)} {relation} {_noun(target)}"


def _color_attr(rng: np.random.Generator) -> Iterator[_Sample]:
    for _ in range(SAMPLES_PER_TASK):
        names = [_not_person(int(draw)) for draw in rng.choice(_NUM_CLASSES - 1, size=2, replace=False)]
        colors = [COLORS[index] for index in rng.choice(len(COLORS), size=2, replace=False)]
        include = tuple(
            Requirement(class_name=name, count=1, color=color)
            for name, color in zip(names, colors, strict=True)
        )
        first, second = (_noun(f"{color} {name}") for name, color in zip(names, colors, strict=True))
        yield "color_attr", include, (), f"a photo of {first} and {second}"


_DRAW_ORDER = (_single_object, _two_object, _counting, _colors, _position, _color_attr)


def generate() -> list[Prompt]:
    """Draw the 553 prompts.

    Returns:
        The prompts in the official order; ``prompt_id`` is the position, from 0.

    Raises:
        UntrustworthyError: The prompts are not the official ones, because this numpy draws other numbers.
    """
    rng = np.random.default_rng(SEED)
    samples = dict.fromkeys(sample for draw in _DRAW_ORDER for sample in draw(rng))
    prompts = [
        Prompt(prompt_id=prompt_id, task=task, text=text, include=include, exclude=exclude)
        for prompt_id, (task, include, exclude, text) in enumerate(samples)
    ]
    _check(prompts)
    return prompts


def metadata_bytes(prompts: Iterable[Prompt]) -> bytes:
    """The official metadata file for some prompts: one JSON object a line, in order.

    Args:
        prompts: Any prompts.

    Returns:
        ASCII text with a newline after every line.
    """
    return "".join(json.dumps(prompt.metadata()) + "\n" for prompt in prompts).encode()


def text_bytes(prompts: Iterable[Prompt]) -> bytes:
    """The official prompt file for some prompts: one sentence a line, in order.

    Args:
        prompts: Any prompts.

    Returns:
        ASCII text with a newline after every line.
    """
    return "".join(prompt.text + "\n" for prompt in prompts).encode()


def _check(prompts: Sequence[Prompt]) -> None:
    found = hashlib.sha256(metadata_bytes(prompts)).hexdigest()
    if found != METADATA_SHA256 or hashlib.sha256(text_bytes(prompts)).hexdigest() != TEXT_SHA256:
        raise UntrustworthyError(
            f"GenEval's prompts were expected to have the SHA-256 {METADATA_SHA256} and have {found} with "
            f"numpy {np.__version__}: this numpy draws other numbers from default_rng({SEED}) than the one "
            f"the benchmark was made with, so scores would not be comparable. Install another numpy (2.4.6 "
            f"draws the official prompts) and report this."
        )
