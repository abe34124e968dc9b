"""The words of GenEval's prompts as the bundled models' vocabulary."""

from __future__ import annotations

from selfe.text import TextConfig
from selfe_eval.records import COLORS, RELATIONS
from selfe_eval.suites.vocabulary import CLASSES, NUMBER_WORDS, plural

FAKE_PHRASE = "fake image"
"""Stands beside the caption in the auxiliary branch of Self-E (appendix S.2); no prompt of a suite has it."""


def text_config() -> TextConfig:
    """80 classes (singular and GenEval's plural are one token), ten colours, three numbers, four relations.

    ``orange`` is a class and a colour: one word, one token; its place in the sentence tells which is meant.
    """
    classes = [f"{name}|{plural(name)}" for name in CLASSES]
    colors = [color for color in COLORS if color not in CLASSES]
    return TextConfig(
        phrases=(*classes, *colors, *NUMBER_WORDS.values(), *RELATIONS, FAKE_PHRASE),
        silent=("a", "an", "and", "of", "photo"),
        num_tokens=6,
        width=128,
        num_layers=2,
    )
