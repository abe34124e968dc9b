"""GenEval's 553 prompts, drawn again by our own code in the order of the official generator.

The draws are numpy's ``default_rng(43)``, 100 of every task but the first, exact duplicates dropped: 580
drawn, 553 kept. No copy of the official file is needed; its SHA-256 decides whether ours is the same.

Source: djghosh13/geneval at af4902f, ``prompts/create_prompts.py`` (MIT).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from selfe_eval.errors import UntrustworthyError
from selfe_eval.records import COLORS, RELATIONS, Prompt
from selfe_eval.suites import wording
from selfe_eval.suites.vocabulary import CLASSES

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

_UNNUMBERED = 0
"""Prompt id of a draw: numbers are given when duplicates have been dropped."""


def _not_person(draw: int) -> str:
    """The class of a draw from 0..78: colour tasks skip ``person``."""
    return CLASSES[(draw + 1 + _PERSON) % _NUM_CLASSES]


def _single_object(rng: np.random.Generator) -> Iterator[Prompt]:
    for index in rng.choice(_NUM_CLASSES, size=_NUM_CLASSES, replace=False):
        yield wording.single_object(_UNNUMBERED, CLASSES[index])


def _two_object(rng: np.random.Generator) -> Iterator[Prompt]:
    for _ in range(SAMPLES_PER_TASK):
        first, second = (CLASSES[index] for index in rng.choice(_NUM_CLASSES, size=2, replace=False))
        yield wording.two_object(_UNNUMBERED, first, second)


def _counting(rng: np.random.Generator) -> Iterator[Prompt]:
    for _ in range(SAMPLES_PER_TASK):
        name = CLASSES[rng.choice(_NUM_CLASSES)]
        yield wording.counting(_UNNUMBERED, name, int(rng.integers(2, 4, endpoint=True)))


def _colors(rng: np.random.Generator) -> Iterator[Prompt]:
    for _ in range(SAMPLES_PER_TASK):
        name = _not_person(int(rng.choice(_NUM_CLASSES - 1)))
        yield wording.colors(_UNNUMBERED, name, COLORS[rng.choice(len(COLORS))])


def _position(rng: np.random.Generator) -> Iterator[Prompt]:
    for _ in range(SAMPLES_PER_TASK):
        moved, target = (CLASSES[index] for index in rng.choice(_NUM_CLASSES, size=2, replace=False))
        yield wording.position(_UNNUMBERED, moved, target, RELATIONS[rng.choice(len(RELATIONS))])


def _color_attr(rng: np.random.Generator) -> Iterator[Prompt]:
    for _ in range(SAMPLES_PER_TASK):
        first, second = (
            _not_person(int(draw)) for draw in rng.choice(_NUM_CLASSES - 1, size=2, replace=False)
        )
        paint, other = (COLORS[index] for index in rng.choice(len(COLORS), size=2, replace=False))
        yield wording.color_attr(_UNNUMBERED, (first, second), (paint, other))


_DRAW_ORDER = (_single_object, _two_object, _counting, _colors, _position, _color_attr)


def generate() -> list[Prompt]:
    """Draw the 553 prompts.

    Returns:
        The prompts in the official order; ``prompt_id`` is the position, from 0.

    Raises:
        UntrustworthyError: The prompts are not the official ones, because this numpy draws other numbers.
    """
    rng = np.random.default_rng(SEED)
    drawn = dict.fromkeys(prompt for draw in _DRAW_ORDER for prompt in draw(rng))
    prompts = [replace(prompt, prompt_id=number) for number, prompt in enumerate(drawn)]
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
