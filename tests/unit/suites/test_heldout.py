"""The rule of held-out combinations."""

from __future__ import annotations

from itertools import combinations

from selfe_eval.records import COLORS, RELATIONS, Prompt, Requirement
from selfe_eval.suites.heldout import (
    held_out_class_color,
    held_out_class_pair,
    held_out_class_relation,
    is_unseen,
)
from selfe_eval.suites.vocabulary import CLASSES


def prompt(*include: Requirement) -> Prompt:
    return Prompt(prompt_id=0, task="two_object", text="", include=include)


def asked(name: str, color: str | None = None, relation: str | None = None) -> Requirement:
    return Requirement(
        class_name=name, count=1, color=color, position=None if relation is None else (relation, 0)
    )


def test_the_rule_is_pinned() -> None:
    """The held-out sets never change: the bundled models were trained without exactly these combinations."""
    colors = [(name, color) for name in CLASSES for color in COLORS if held_out_class_color(name, color)]
    pairs = [pair for pair in combinations(CLASSES, 2) if held_out_class_pair(*pair)]
    relations = [(name, r) for name in CLASSES for r in RELATIONS if held_out_class_relation(name, r)]

    assert (len(colors), colors[0], colors[-1]) == (140, ("person", "brown"), ("hair drier", "purple"))
    assert (len(pairs), pairs[0], pairs[-1]) == (643, ("person", "car"), ("clock", "teddy bear"))
    assert (len(relations), relations[0], relations[-1]) == (
        31,
        ("airplane", "below"),
        ("hair drier", "above"),
    )


def test_the_order_of_a_pair_does_not_matter() -> None:
    """A pair is held out both ways or not at all."""
    assert all(held_out_class_pair(a, b) == held_out_class_pair(b, a) for a, b in combinations(CLASSES, 2))


def test_a_prompt_is_unseen_if_any_of_its_combinations_is_held_out() -> None:
    """A colour, a relation or a pair is enough; a single plain object never is."""
    free = next(pair for pair in combinations(CLASSES, 2) if not held_out_class_pair(*pair))
    held = next(pair for pair in combinations(CLASSES, 2) if held_out_class_pair(*pair))
    color = next(color for color in COLORS if held_out_class_color(free[0], color))
    seen_color = next(color for color in COLORS if not held_out_class_color(free[0], color))
    mover, relation = next((n, r) for n in CLASSES for r in RELATIONS if held_out_class_relation(n, r))
    target = next(name for name in CLASSES if name != mover and not held_out_class_pair(mover, name))
    seen_relation = next(r for r in RELATIONS if not held_out_class_relation(mover, r))

    assert not any(is_unseen(prompt(asked(name))) for name in CLASSES)
    assert not is_unseen(prompt(asked(free[0]), asked(free[1])))
    assert is_unseen(prompt(asked(held[0]), asked(held[1])))
    assert is_unseen(prompt(asked(free[0], color)))
    assert not is_unseen(prompt(asked(free[0], seen_color)))
    assert is_unseen(prompt(asked(target), asked(mover, None, relation)))
    assert not is_unseen(prompt(asked(target), asked(mover, None, seen_relation)))
