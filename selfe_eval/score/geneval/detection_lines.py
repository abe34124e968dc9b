"""Lines of detections made elsewhere: strict reading, and the verdict as a line of JSON.

Strict because each of these mistakes would otherwise give a number that looks right: scores in percent, boxes
as (x, y, width, height), COCO's "mouse" for GenEval's "computer mouse", a colour or a task outside the lists.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from typing import Any

from selfe_eval.errors import UsageError, unknown_name
from selfe_eval.records import COLORS, RELATIONS, TASKS, Prompt, ScoredObject
from selfe_eval.score.geneval.rules import Limits, details, evaluate, keep_objects
from selfe_eval.suites.vocabulary import CLASSES

_ROW = struct.Struct("5f")
_NUMBERS = (float, int)
_KNOWN_CLASSES = frozenset(CLASSES)
_KNOWN_COLORS = frozenset(COLORS)
_MAX_PX = 2.0**24
"""Up to here float32 holds every whole pixel."""


def score_lines(lines: Iterable[bytes], source: str, limits: Limits) -> Iterator[str]:
    """The verdicts of a file of detections, one by one.

    Args:
        lines: JSON objects ``{"metadata": {...}, "detections": {CLASS: [{"box", "score", "color"}]}}``; blank
            lines are skipped.
        source: What to call the file in errors.
        limits: The thresholds.

    Yields:
        ``{"correct", "reason", "details"}`` as JSON text with a newline, in the order of the input.

    Raises:
        UsageError: A line is not such an object; names the line and what was expected there.
    """
    for number, line in enumerate(lines, 1):
        if line.isspace():
            continue
        try:
            prompt, raw = parse_line(line)
            document = _result(prompt, raw, limits)
        except UsageError as error:
            raise UsageError(f"{source}, line {number}: {error} The lines before it are scored.") from None
        yield json.dumps(document) + "\n"


def _result(prompt: Prompt, raw: dict[str, list[ScoredObject]], limits: Limits) -> dict[str, Any]:
    kept = keep_objects(raw, prompt.task, limits)
    try:
        verdict = evaluate(prompt, kept, limits)
    except ValueError as error:
        raise UsageError(f'Expected a "color" wherever the verdict depends on it: {error}.') from None
    return {"correct": verdict.correct, "reason": verdict.reason, "details": details(kept)}


def parse_line(line: bytes) -> tuple[Prompt, dict[str, list[ScoredObject]]]:
    """Read one line of detections.

    Args:
        line: UTF-8 JSON.

    Returns:
        The prompt (``prompt_id`` 0; its text may be missing, the rules do not use it) and the detections by
        class, scores and boxes rounded to float32.

    Raises:
        UsageError: Something is not as expected; says what.
    """
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        raise _unexpected("a JSON object", line[:80].decode(errors="replace")) from None
    if not isinstance(document, dict) or not {"metadata", "detections"} <= document.keys():
        raise _unexpected('a JSON object with "metadata" and "detections"', document)
    prompt = _prompt(document["metadata"])
    detections = document["detections"]
    if not isinstance(detections, dict):
        raise _unexpected('"detections" to map a class name to a list of objects', detections)
    return prompt, {name: _objects(name, entries) for name, entries in detections.items()}


def _unexpected(expected: str, found: object) -> UsageError:
    text = found if isinstance(found, str) else json.dumps(found)
    return UsageError(f"Expected {expected}, found {text[:80]!r}.")


def _prompt(metadata: Any) -> Prompt:
    if not isinstance(metadata, dict) or not isinstance(metadata.get("include"), list):
        raise _unexpected('"metadata" as in GenEval\'s evaluation_metadata.jsonl', metadata)
    task, text, exclude = metadata.get("tag"), metadata.get("prompt", ""), metadata.get("exclude", [])
    if task not in TASKS:
        raise unknown_name("task", str(task), TASKS)
    if not isinstance(text, str) or not isinstance(exclude, list):
        raise _unexpected('"prompt" to be text and "exclude" a list', metadata)
    for index, entry in enumerate(metadata["include"]):
        _check_requirement(entry, index)
    for entry in exclude:
        _check_requirement(entry, 0)
    return Prompt.from_metadata(0, {**metadata, "prompt": text})


def _check_requirement(entry: Any, index: int) -> None:
    if not isinstance(entry, dict) or type(entry.get("count")) is not int or entry["count"] < 1:
        raise _unexpected('a requirement with a "class" and a "count" of at least 1', entry)
    _check_class(entry.get("class"))
    if entry.get("color") is not None:
        _check_color(entry["color"])
    position = entry.get("position")
    if position is not None and not _is_position(position, index):
        raise _unexpected(
            f'"position" to be [relation, index of an earlier requirement], relation one of {RELATIONS}',
            entry,
        )


def _is_position(position: Any, index: int) -> bool:
    return (
        isinstance(position, list)
        and len(position) == 2
        and position[0] in RELATIONS
        and type(position[1]) is int
        and 0 <= position[1] < index
    )


def _check_class(name: Any) -> None:
    if not isinstance(name, str) or name not in _KNOWN_CLASSES:
        raise unknown_name("class", str(name), CLASSES)


def _check_color(color: Any) -> None:
    if not isinstance(color, str) or color not in _KNOWN_COLORS:
        raise unknown_name("color", str(color), COLORS)


def _objects(name: str, entries: Any) -> list[ScoredObject]:
    _check_class(name)
    if not isinstance(entries, list):
        raise _unexpected(f"a list of objects for {name!r}", entries)
    return [_object(name, entry) for entry in entries]


def _object(name: str, entry: Any) -> ScoredObject:
    if not isinstance(entry, dict):
        raise _unexpected(f'an object {{"box", "score", "color"}} for {name!r}', entry)
    score: Any = entry.get("score")
    if type(score) not in _NUMBERS or not 0 <= score <= 1:
        raise _unexpected(f'"score" of a {name!r} to be a number from 0 to 1', entry)
    color = entry.get("color")
    if color is not None:
        _check_color(color)
    row = _float32_row(entry.get("box"), score)
    if row is None:
        raise _unexpected(f'"box" of a {name!r} to be [x0, y0, x1, y1] with x0 <= x1 and y0 <= y1', entry)
    x0, y0, x1, y1, score = row
    return ScoredObject(box=(x0, y0, x1, y1), score=score, color=color)


def _float32_row(box: Any, score: float) -> tuple[float, float, float, float, float] | None:
    """Box and score in single precision, or None where the box is not one."""
    try:
        x0, y0, x1, y1, score = _ROW.unpack(_ROW.pack(*box, score))
    except (TypeError, OverflowError, struct.error):
        return None
    if not (-_MAX_PX <= x0 <= x1 <= _MAX_PX and -_MAX_PX <= y0 <= y1 <= _MAX_PX):
        return None
    return x0, y0, x1, y1, score
