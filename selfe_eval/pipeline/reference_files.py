"""The reference's own files beside our records: what its two scripts would write and print for the same images.

Made for tools that read GenEval's files, so they hold what the reference would hold and nothing else: an image
without a score is left out here, and counted only in our own summary. The reference's summary does not say that
images are missing; of a partial run the name of the file does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from selfe_eval.pipeline.scored_images import ScoredImage
from selfe_eval.runs import layout
from selfe_eval.score.geneval.files import ResultRow, result_line, result_row, summary_text
from selfe_eval.score.geneval.rules import Verdict


def reference_file_names(steps: Iterable[int]) -> list[str]:
    """Every file that the step counts of a run can have, relative to the run folder."""
    return [
        str(layout.reference_folder(count) / name)
        for count in steps
        for name in (layout.RESULTS_FILE, layout.SUMMARY_TEXT_FILE, layout.PARTIAL_SUMMARY_TEXT_FILE)
    ]


def reference_files(
    scored: Sequence[ScoredImage], steps: Iterable[int], *, partial: bool
) -> dict[str, bytes]:
    """The content of the files, by name; none for a step count at which no image has a score.

    Args:
        scored: In the order in which the rows shall stand.
        steps: The step counts of the run.
        partial: Whether prompts or images of the suite are missing.
    """
    files: dict[str, bytes] = {}
    for count in steps:
        rows = [
            _row(one, one.score.correct)
            for one in scored
            if one.image.key.steps == count and one.score.correct is not None
        ]
        if rows:
            results, whole, part = reference_file_names([count])
            files[results] = "".join(map(result_line, rows)).encode()
            files[part if partial else whole] = summary_text(rows).encode()
    return files


def _row(scored: ScoredImage, correct: bool) -> ResultRow:  # noqa: FBT001 - a verdict, not an option
    verdict = Verdict(correct=correct, reason=scored.score.reason)
    return result_row(scored.image.path, scored.prompt, verdict, scored.objects)
