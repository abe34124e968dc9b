"""What the verdict on an image would be at other thresholds, from one pass of the detector.

A scorer records the objects that count and those that miss the threshold by at most 0.1, with a colour wherever a
verdict at one of these thresholds asks for it. So how much a score owes to its two thresholds needs no image and
no network: the rules are applied again. Each image has one threshold that matters to it: its task's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from selfe_eval.records import Prompt, ScoredObject
from selfe_eval.score.geneval.rules import Limits, Verdict, evaluate, keep_objects

CONFIDENCE_OFFSETS = (-0.1, -0.05, 0.0, 0.05, 0.1)
"""What is added to the threshold of every task but counting: 0.2 to 0.4 for the official detector."""

COUNTING_OFFSETS = (-0.1, -0.05, 0.0, 0.05)
"""What is added to the threshold of the counting task: 0.8 to 0.95 for the official detector."""

_DIGITS = 6
"""Of a threshold, so that 0.3 - 0.1 is 0.2."""


def own_threshold(task: str, own: Limits) -> float:
    """The threshold that matters to the images of a task."""
    return own.counting if task == "counting" else own.confidence


def thresholds_around(task: str, own: Limits) -> tuple[float, ...]:
    """The thresholds to try for a task, ascending; its own is among them.

    Args:
        task: One of TASKS.
        own: The detector's own thresholds.

    Returns:
        At most five; those outside [0, 1) are left out.

    >>> thresholds_around("counting", Limits())
    (0.8, 0.85, 0.9, 0.95)
    """
    centre = own_threshold(task, own)
    offsets = COUNTING_OFFSETS if task == "counting" else CONFIDENCE_OFFSETS
    tried = [centre if offset == 0 else round(centre + offset, _DIGITS) for offset in offsets]
    return tuple(threshold for threshold in tried if threshold == centre or 0 <= threshold < 1)


def verdicts_around(
    prompt: Prompt,
    objects: Mapping[str, Sequence[ScoredObject]],
    weaker: Mapping[str, Sequence[ScoredObject]],
    own: Limits,
) -> dict[float, Verdict]:
    """The verdict at each threshold of `thresholds_around`; the one at the own threshold is the image's.

    Args:
        prompt: What was asked.
        objects: Class name -> the objects that counted, best first.
        weaker: Class name -> those that miss the own threshold by at most 0.1, best first.
        own: The thresholds and other limits that the image was judged with.

    Raises:
        ValueError: An object whose colour decides a verdict has none.
    """
    # From worst to best, as `keep_objects` leaves equal scores in the order opposite to the one it gets.
    found = {
        name: [*reversed(weaker.get(name, ())), *reversed(objects.get(name, ()))]
        for name in (*objects, *weaker)
    }
    verdicts = {}
    for threshold in thresholds_around(prompt.task, own):
        limits = _with_threshold(own, prompt.task, threshold)
        verdicts[threshold] = evaluate(prompt, keep_objects(found, prompt.task, limits), limits)
    return verdicts


def _with_threshold(own: Limits, task: str, threshold: float) -> Limits:
    if task == "counting":
        return replace(own, counting=threshold)
    return replace(own, confidence=threshold)
