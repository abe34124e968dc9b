"""Stage four: numbers from scores. Reads ``images.jsonl`` and ``scores/``, writes ``summary.json`` and ``reference/``.

No image is looked at and no network is run. Verdicts at other thresholds come from the recorded objects, and the
one at the detector's own threshold must be the recorded verdict: a record that contradicts itself is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from selfe_eval.errors import UntrustworthyError
from selfe_eval.pipeline.plan import planned_keys
from selfe_eval.pipeline.reference_files import reference_file_names, reference_files
from selfe_eval.pipeline.scored_images import ScoredImage, scored_images
from selfe_eval.records import Suite
from selfe_eval.report import summary as report
from selfe_eval.report.outcomes import ImageOutcome
from selfe_eval.runs import layout
from selfe_eval.runs.atomic import atomic_write
from selfe_eval.runs.images import read_images
from selfe_eval.runs.journal import refuse_constant
from selfe_eval.runs.run import Run
from selfe_eval.score.geneval.rules import Limits, objects_needing_color
from selfe_eval.score.geneval.sensitivity import own_threshold, verdicts_around


def summarise(run: Run, suite: Suite) -> tuple[Run, report.Summary]:
    """Compute the summary, write it, and say in the record whether the run is complete.

    Args:
        run: The run; the caller holds its lock. Of several processes the first one writes.
        suite: The run's suite.

    Raises:
        UntrustworthyError: nothing has been scored yet, or a journal cannot be believed.
    """
    summary, files = summary_files(run, suite)
    if run.ranks.is_first:
        _write(run, files)
    return run.update(status="incomplete" if num_unscored(summary) else "complete"), summary


def _write(run: Run, files: Mapping[str, bytes]) -> None:
    """Bring every derived file up to date; those that are stay untouched."""
    for name in derived_file_names(run):
        path = run.folder / name
        if name not in files:
            if path.is_file():
                path.unlink()
        elif not path.is_file() or path.read_bytes() != files[name]:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, files[name])


def summary_files(run: Run, suite: Suite) -> tuple[report.Summary, dict[str, bytes]]:
    """The summary that the records give, and the content of every file that is derived from them.

    Returns:
        The summary, and file contents by name relative to the run folder. Nothing is written.

    Raises:
        UntrustworthyError: nothing has been scored yet, or a journal cannot be believed.
    """
    scorer = _scorer(run)
    scored = scored_images(run, suite)
    limits = _limits(run, scorer)
    planned = set(planned_keys(run.record))
    images = read_images(run.images_file)
    summary = report.summarise(
        run.record,
        suite,
        {one.image.key: _outcome(run, one, limits) for one in scored},
        seconds={key: image.seconds for key, image in images.items() if key in planned},
        scorer=scorer,
    )
    files = {layout.SUMMARY_FILE: report.summary_bytes(summary)}
    return summary, files | reference_files(scored, run.spec.steps, partial=summary.partial)


def derived_file_names(run: Run) -> list[str]:
    """Every file that this stage may write, relative to the run folder."""
    return [*reference_file_names(run.spec.steps), layout.SUMMARY_FILE]


def num_unscored(summary: report.Summary) -> int:
    """Planned images without a score, over all step counts."""
    return sum(row.overall.n_unscored for row in summary.rows)


def _outcome(run: Run, scored: ScoredImage, limits: Limits | None) -> ImageOutcome:
    score = scored.score
    if score.correct is None:
        return ImageOutcome(key=score.key, correct=None, reason=score.reason)
    return ImageOutcome(
        key=score.key,
        correct=score.correct,
        reason=score.reason,
        correct_at={} if limits is None else _correct_at(run, scored, limits),
        num_objects=sum(map(len, scored.objects.values())),
        num_colors=len(objects_needing_color(scored.prompt, scored.objects)),
        near_ties=score.near_ties,
    )


def _correct_at(run: Run, scored: ScoredImage, limits: Limits) -> dict[float, bool]:
    """Threshold -> verdict, after seeing that the recorded verdict is among them."""
    score, own = scored.score, own_threshold(scored.prompt.task, limits)
    try:
        verdicts = verdicts_around(scored.prompt, scored.objects, scored.weaker, limits)
    except ValueError as error:
        raise _contradiction(run, scored, str(error)) from error
    if (verdicts[own].correct, verdicts[own].reason) != (score.correct, score.reason):
        found = f"{verdicts[own].correct} ({verdicts[own].reason!r}) at the threshold {own:g}"
        raise _contradiction(run, scored, f"the objects recorded with it give {found}")
    return {threshold: verdict.correct for threshold, verdict in verdicts.items()}


def _contradiction(run: Run, scored: ScoredImage, why: str) -> UntrustworthyError:
    path = layout.scores_path(run.folder, report.METRIC)
    return UntrustworthyError(
        f"The score of {scored.image.path} in {path} contradicts itself: it says {scored.score.correct} "
        f"({scored.score.reason!r}), but {why}. It was edited, or another version's rules gave it. Delete that file "
        f"and score the run again: `{run.resume_command}`; the images stay."
    )


def _limits(run: Run, scorer: Mapping[str, Any]) -> Limits | None:
    """The thresholds that a scorer states; None where it states none."""
    stated = scorer.get("thresholds")
    if stated is None:
        return None
    try:
        return Limits(
            confidence=float(stated["confidence"]),
            counting=float(stated["counting"]),
            max_objects=int(stated["max_objects"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UntrustworthyError(
            f"The thresholds in {layout.scorer_path(run.folder, report.METRIC)} are garbled: "
            f"{type(error).__name__} {error}. Score the run again: `{run.resume_command}`."
        ) from error


def _scorer(run: Run) -> Mapping[str, Any]:
    path = layout.scorer_path(run.folder, report.METRIC)
    try:
        description = json.loads(path.read_bytes(), parse_constant=refuse_constant)
    except (OSError, ValueError) as error:
        raise UntrustworthyError(
            f"{run.folder} has no scores to summarise: {path} cannot be read ({error}). Score the images "
            f"first: `{run.resume_command}`."
        ) from error
    if not isinstance(description, dict):
        raise UntrustworthyError(
            f"{path} should hold a JSON object. Score the run again: `{run.resume_command}`."
        )
    return description
