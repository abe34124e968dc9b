"""Which combinations the bundled models are never taught, decided by a hash and by nothing else.

A combination is held out when the SHA-256 of its name falls into one residue class, so that the rule needs no
list, is the same on every machine, and cannot be tuned. One in five class-colour pairs, one in five unordered
class pairs and one in ten class-relation pairs are held out. The world (``selfe_eval/openmoji``) asks this
file what to leave out of its scenes; the report asks it which prompts are unseen.

Held out means: two classes never share a scene; a class is never painted in a colour nor called so, though
its natural colours may be near it; no caption says a relation of a class, though the same arrangement may be
seen where the other object is named first, or where no side is named.
"""

from __future__ import annotations

import hashlib
from functools import cache
from itertools import combinations

from selfe_eval.records import Prompt

_RULE_VERSION = 1


@cache
def _residue(kind: str, parts: tuple[str, ...], modulus: int) -> int:
    name = f"selfe-eval/heldout/{_RULE_VERSION}/{kind}/{'/'.join(parts)}"
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % modulus


def held_out_class_color(class_name: str, color: str) -> bool:
    """Whether this class is never painted in this colour, nor called so, in training (one pair in five).

    Args:
        class_name: One of CLASSES.
        color: One of COLORS.

    Returns:
        True where the pair is held out.
    """
    return _residue("class-color", (class_name, color), 5) == 0


def held_out_class_pair(first: str, second: str) -> bool:
    """Whether these two classes never appear together in training (one unordered pair in five).

    Args:
        first: One of CLASSES.
        second: Another of CLASSES; the order of the two does not matter.

    Returns:
        True where the pair is held out.
    """
    return _residue("class-pair", tuple(sorted((first, second))), 5) == 0


def held_out_class_relation(class_name: str, relation: str) -> bool:
    """Whether no caption of the training says this relation of this class (one pair in ten).

    Args:
        class_name: The moved object: the dog in "a dog left of a bench".
        relation: One of RELATIONS.

    Returns:
        True where the pair is held out.
    """
    return _residue("class-relation", (class_name, relation), 10) == 0


def is_unseen(prompt: Prompt) -> bool:
    """Whether a prompt asks for any held-out combination.

    Args:
        prompt: A prompt of the suite or of a training scene.

    Returns:
        True if a colour, a relation or any pair of its different included classes is held out.
    """
    classes = sorted({requirement.class_name for requirement in prompt.include})
    if any(held_out_class_pair(first, second) for first, second in combinations(classes, 2)):
        return True
    for requirement in prompt.include:
        name, color, position = requirement.class_name, requirement.color, requirement.position
        if color is not None and held_out_class_color(name, color):
            return True
        if position is not None and held_out_class_relation(name, position[0]):
            return True
    return False
