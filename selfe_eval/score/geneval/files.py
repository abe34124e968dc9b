"""The reference's own files: a ``results.jsonl`` line and the text of its summary, character for character.

Written so that tools made for GenEval read our runs, and read so that anybody's results can be summarised.
The summary repeats the reference's definitions, also the generous one: a prompt is "correct" when any of its
images is. Our own numbers, with intervals and a check for completeness, come from the report, not from here.

Source: djghosh13/geneval at af4902f, ``evaluation/evaluate_images.py`` and ``summary_scores.py`` (MIT).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from selfe_eval.errors import UsageError
from selfe_eval.records import Prompt, ScoredObject
from selfe_eval.score.geneval.rules import Verdict, details


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow:
    """One scored image, with the reference's field names and in its order."""

    filename: str
    """Path of the image."""
    tag: str
    """The task."""
    prompt: str
    """The sentence that was asked."""
    correct: bool
    """The verdict."""
    reason: str
    """Empty if correct."""
    metadata: str
    """The prompt's metadata as JSON text; equal texts are one prompt."""
    details: str
    """The kept objects as JSON text: class -> rows [x0, y0, x1, y1, score]."""


_KEYS = tuple(field.name for field in fields(ResultRow))


def result_row(
    filename: str, prompt: Prompt, verdict: Verdict, kept: Mapping[str, Sequence[ScoredObject]]
) -> ResultRow:
    """The reference's record of one image.

    Args:
        filename: Path of the image as it shall appear in the file.
        prompt: What was asked.
        verdict: The result of `evaluate`.
        kept: The result of `keep_objects`.

    Returns:
        The row, ready for `result_line`.
    """
    return ResultRow(
        filename=filename,
        tag=prompt.task,
        prompt=prompt.text,
        correct=verdict.correct,
        reason=verdict.reason,
        metadata=json.dumps(prompt.metadata()),
        details=json.dumps(details(kept)),
    )


def result_line(row: ResultRow) -> str:
    r"""One line of ``results.jsonl`` as pandas ``to_json(orient="records", lines=True)`` writes it.

    Args:
        row: The record.

    Returns:
        ASCII text that ends in a newline; ``/`` is written ``\/`` as pandas does.
    """
    document = {key: getattr(row, key) for key in _KEYS}
    return json.dumps(document, separators=(",", ":")).replace("/", r"\/") + "\n"


def read_results(path: Path) -> list[ResultRow]:
    """Read a ``results.jsonl`` of the reference or of ours.

    Args:
        path: The file.

    Returns:
        The rows in the order of the file; blank lines are skipped.

    Raises:
        UsageError: The file cannot be read, or a line is not such a record.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"Expected a results.jsonl of GenEval at {path}, which cannot be read: {error}."
        ) from None
    lines = text.split("\n")
    return [_row(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _row(path: Path, number: int, line: str) -> ResultRow:
    try:
        document: Any = json.loads(line)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not all(_is_valid(document, key) for key in _KEYS):
        raise UsageError(
            f"{path}, line {number}: expected a JSON object with the texts filename, tag, prompt, reason, "
            f"metadata, details and the truth value correct, found {line[:80]!r}. The file may be torn, or "
            f"not come from GenEval; write it anew."
        )
    return ResultRow(**{key: document[key] for key in _KEYS})


def _is_valid(document: Mapping[str, Any], key: str) -> bool:
    return isinstance(document.get(key), bool if key == "correct" else str)


def summary_text(rows: Iterable[ResultRow]) -> str:
    """What the reference's ``summary_scores.py`` prints.

    Args:
        rows: All scored images.

    Returns:
        The text, tasks in order of first appearance; ends in a newline.

    Raises:
        UsageError: There are no rows.
    """
    by_prompt: dict[str, list[bool]] = {}
    by_task: dict[str, list[bool]] = {}
    for row in rows:
        by_prompt.setdefault(row.metadata, []).append(row.correct)
        by_task.setdefault(row.tag, []).append(row.correct)
    if not by_task:
        raise UsageError(
            "Expected at least one scored image to summarise, found none. Score some images first."
        )
    num_images = sum(map(len, by_task.values()))
    num_correct = sum(map(sum, by_task.values()))
    accuracies = [sum(correct) / len(correct) for correct in by_task.values()]
    tasks = [
        f"{task:<16} = {accuracy:.2%} ({sum(correct)} / {len(correct)})"
        for (task, correct), accuracy in zip(by_task.items(), accuracies, strict=True)
    ]
    lines = [
        "Summary",
        "=======",
        f"Total images: {num_images}",
        f"Total prompts: {len(by_prompt)}",
        f"% correct images: {num_correct / num_images:.2%}",
        f"% correct prompts: {sum(map(any, by_prompt.values())) / len(by_prompt):.2%}",
        "",
        "Task breakdown",
        "==============",
        *tasks,
        "",
        f"Overall score (avg. over tasks): {np.mean(accuracies):.5f}",
    ]
    return "\n".join(lines) + "\n"
