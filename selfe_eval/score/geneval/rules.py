"""GenEval's verdict on one image, as pure functions of detections.

Three steps, so that colours need to be classified only where the verdict depends on them: `keep_objects`
drops what the reference drops, `objects_needing_color` names the objects to classify, `evaluate` decides.

Kept exactly as in the reference, pitfalls included: scores are compared with the threshold in float32 and
strictly; only the first ``count`` objects by confidence are tested for colour and position, so a second,
better coloured object does not help; the stricter counting threshold holds for every class of a counting
image. The one difference: equal scores keep a fixed order (the later detection first), where the reference's
order is undefined.

Source: djghosh13/geneval at af4902f, ``evaluation/evaluate_images.py`` (MIT).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

from selfe_eval.records import COLORS, Prompt, Requirement, ScoredObject
from selfe_eval.score.geneval.float32 import to_float32
from selfe_eval.score.geneval.relation import Box, relations
from selfe_eval.suites.vocabulary import CLASSES

_CLASS_ORDER = {name: index for index, name in enumerate(CLASSES)}
_BY_SCORE = attrgetter("score")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The reference's constants; the defaults are the published protocol."""

    confidence: float = 0.3
    """Objects must score more than this, in every task but counting."""
    counting: float = 0.9
    """Objects must score more than this in the counting task."""
    max_objects: int = 16
    """At most so many objects of a class are kept."""
    max_overlap: float = 1.0
    """Of objects of a class that overlap this much (IoU) the best is kept; 1.0 keeps all."""
    position_slack: float = 0.1
    """Share of the extents by which two objects may overlap and still not be moved apart."""


GENEVAL_LIMITS = Limits()
"""The published protocol, made for the official detector."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether an image shows what its prompt asks for."""

    correct: bool
    """True if every requirement is met."""
    reason: str
    """Empty if correct, else the reference's sentences, one a line, relations sorted by name."""


def keep_objects(
    raw: Mapping[str, Sequence[ScoredObject]], task: str, limits: Limits = GENEVAL_LIMITS
) -> dict[str, list[ScoredObject]]:
    """The detections that GenEval looks at.

    Args:
        raw: Class name -> all its detections, in the detector's order.
        task: One of TASKS; ``counting`` has its own threshold.
        limits: The thresholds.

    Returns:
        Class name -> its kept objects, best first. Classes stand in the order of CLASSES; a class of which
        nothing is left is absent.
    """
    threshold = to_float32(limits.counting if task == "counting" else limits.confidence)
    kept: dict[str, list[ScoredObject]] = {}
    for name in sorted(raw, key=lambda name: _CLASS_ORDER.get(name, len(CLASSES))):
        objects = [candidate for candidate in raw[name] if candidate.score > threshold]
        if not objects:
            continue
        objects.sort(key=_BY_SCORE)
        objects.reverse()
        objects = objects[: limits.max_objects]
        kept[name] = objects if limits.max_overlap == 1 else _without_overlaps(objects, limits.max_overlap)
    return kept


def _without_overlaps(best_first: list[ScoredObject], max_overlap: float) -> list[ScoredObject]:
    limit = to_float32(max_overlap)
    chosen: list[ScoredObject] = []
    for candidate in best_first:
        if all(overlap(better.box, candidate.box) < limit for better in chosen):
            chosen.append(candidate)
    return chosen


def _area(x0: float, y0: float, x1: float, y1: float) -> float:
    return to_float32(_side(x0, x1) * _side(y0, y1))


def _side(low: float, high: float) -> float:
    return max(to_float32(to_float32(high - low) + 1), 0.0)


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes in the reference's convention: a box is one pixel larger each way.

    Args:
        a: One box.
        b: Another.

    Returns:
        A float32 value in [0, 1]; 0 where the union is empty.

    >>> overlap((0, 0, 9, 9), (0, 0, 9, 4))
    0.5
    """
    shared = _area(max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
    union = to_float32(to_float32(_area(*a) + _area(*b)) - shared)
    return to_float32(shared / union) if union else 0.0


def objects_needing_color(
    prompt: Prompt, kept: Mapping[str, Sequence[ScoredObject]]
) -> list[tuple[str, int]]:
    """Which objects must have their colour classified before `evaluate`.

    Args:
        prompt: What was asked.
        kept: The result of `keep_objects`.

    Returns:
        (class name, index into ``kept[class name]``) without repetition, in the order of the requirements.
        Empty for a class with too few objects: it fails whatever their colours.
    """
    needed: dict[tuple[str, int], None] = {}
    for requirement in prompt.include:
        name, count = requirement.class_name, requirement.count
        if requirement.color is not None and len(kept.get(name, ())) >= count:
            needed.update(dict.fromkeys((name, index) for index in range(count)))
    return list(needed)


def evaluate(
    prompt: Prompt, kept: Mapping[str, Sequence[ScoredObject]], limits: Limits = GENEVAL_LIMITS
) -> Verdict:
    """Whether the kept objects are what the prompt asks for.

    Args:
        prompt: What was asked; a position must refer to an earlier requirement.
        kept: The result of `keep_objects`, with the colours of `objects_needing_color` filled in.
        limits: Only ``position_slack`` is used here.

    Returns:
        The verdict with the reference's reasons.

    Raises:
        ValueError: An object whose colour decides the verdict has none.
    """
    reasons: list[str] = []
    groups: list[Sequence[ScoredObject] | None] = []
    for requirement in prompt.include:
        found = kept.get(requirement.class_name, ())[: requirement.count]
        reason = _count_or_color_reason(requirement, found)
        if reason is None and requirement.position is not None:
            reason = _position_reason(requirement, found, groups, limits.position_slack)
        if reason is not None:
            reasons.append(reason)
        groups.append(found if reason is None else None)
    for requirement in prompt.exclude:
        num_found = len(kept.get(requirement.class_name, ()))
        if num_found >= requirement.count:
            reasons.append(f"expected {requirement.class_name}<{requirement.count}, found {num_found}")
    return Verdict(correct=not reasons, reason="\n".join(reasons))


def _count_or_color_reason(requirement: Requirement, found: Sequence[ScoredObject]) -> str | None:
    name, count, color = requirement.class_name, requirement.count, requirement.color
    if len(found) < count:
        return f"expected {name}>={count}, found {len(found)}"
    if color is None:
        return None
    colors = [candidate.color for candidate in found]
    if None in colors:
        raise ValueError(f"every {name} among the first {count} needs a colour before the verdict")
    num_matching = colors.count(color)
    if num_matching >= count:
        return None
    seen = ", ".join(f"{colors.count(other)} {other}" for other in COLORS if other in colors)
    return f"expected {color} {name}>={count}, found {num_matching} {color}; and {seen}"


def _position_reason(
    requirement: Requirement,
    found: Sequence[ScoredObject],
    groups: Sequence[Sequence[ScoredObject] | None],
    slack: float,
) -> str | None:
    assert requirement.position is not None
    name, (relation, group) = requirement.class_name, requirement.position
    targets = groups[group]
    if targets is None:
        return f"no target for {name} to be {relation}"
    for moved in found:
        for target in targets:
            actual = relations(moved.box, target.box, slack)
            if relation not in actual:
                return f"expected {name} {relation} target, found {' and '.join(actual)} target"
    return None


def details(kept: Mapping[str, Sequence[ScoredObject]]) -> dict[str, list[list[float]]]:
    """The kept objects as the reference writes them.

    Args:
        kept: The result of `keep_objects`.

    Returns:
        Class name -> rows ``[x0, y0, x1, y1, score]``, best first.
    """
    return {
        name: [[*map(float, candidate.box), candidate.score] for candidate in objects]
        for name, objects in kept.items()
    }
