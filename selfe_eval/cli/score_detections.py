"""The verb ``score-detections``: GenEval's rules on detections made elsewhere. Needs no torch."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from selfe_eval.errors import UsageError
from selfe_eval.score.geneval.detection_lines import score_lines
from selfe_eval.score.geneval.rules import GENEVAL_LIMITS, Limits


def score_detections(
    file: Annotated[str, typer.Argument(metavar="FILE.jsonl", help="Detections, or - for standard input.")],
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Objects must score more than this.")
    ] = GENEVAL_LIMITS.confidence,
    counting_threshold: Annotated[
        float, typer.Option(min=0, max=1, help="The same for prompts of the task counting.")
    ] = GENEVAL_LIMITS.counting,
    max_objects: Annotated[
        int, typer.Option(min=1, help="Keep at most so many objects of a class.")
    ] = GENEVAL_LIMITS.max_objects,
    max_overlap: Annotated[
        float,
        typer.Option(min=0, max=1, help="Drop objects that overlap a better one this much; 1 drops none."),
    ] = GENEVAL_LIMITS.max_overlap,
    position_threshold: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of the extents that is not yet left, right, above, below."),
    ] = GENEVAL_LIMITS.position_slack,
) -> None:
    """Apply GenEval's rules to given detections: one JSON result a line, without torch.

    \b
    Input line, with "metadata" as in GenEval's evaluation_metadata.jsonl and boxes as x0, y0, x1, y1:
      {"metadata": {...}, "detections": {"dog": [{"box": [0, 0, 9, 9], "score": 0.95, "color": "red"}]}}
    Output line:
      {"correct": true, "reason": "", "details": {"dog": [[0.0, 0.0, 9.0, 9.0, 0.949999988079071]]}}

    \b
    Examples:
      selfe-eval score-detections detections.jsonl > verdicts.jsonl
      my-detector images/ | selfe-eval score-detections - --threshold 0.5
    """  # noqa: D301  click needs the control character, not its spelling
    limits = Limits(
        confidence=threshold,
        counting=counting_threshold,
        max_objects=max_objects,
        max_overlap=max_overlap,
        position_slack=position_threshold,
    )
    with _opened(file) as lines:
        sys.stdout.writelines(score_lines(lines, _display_name(file), limits))


def _display_name(file: str) -> str:
    return "standard input" if file == "-" else file


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = Path(file).open("rb")  # noqa: SIM115  closed below; errors of the body are not errors of opening
    except OSError as error:
        raise UsageError(
            f"Expected a file of detections at {file}, which cannot be read: {error.strerror}. "
            f"Give the path of a .jsonl file, or - for standard input."
        ) from None
    with stream:
        yield stream
