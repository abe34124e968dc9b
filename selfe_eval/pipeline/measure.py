"""All metrics of a run: images made once, looked at once, and each number from what was seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from selfe_eval.pipeline.caption_scores import FeatureBlock, write_clip_scores, write_spread
from selfe_eval.pipeline.distances import measure_distances
from selfe_eval.pipeline.extract import FeatureViewer, features_at
from selfe_eval.pipeline.found_images import FoundImages
from selfe_eval.pipeline.geneval import make_images, suite_of
from selfe_eval.pipeline.instruments import CLIP_SCORE, Instruments
from selfe_eval.pipeline.look import Viewer, look
from selfe_eval.pipeline.progress import Progress
from selfe_eval.pipeline.score import GenEvalViewer
from selfe_eval.pipeline.summarise import summarise
from selfe_eval.pipeline.summarise_measures import summarise_measures
from selfe_eval.provenance import attempt
from selfe_eval.records import Suite
from selfe_eval.report.measures import MeasureSet
from selfe_eval.report.summary import Summary
from selfe_eval.runs.run import Run
from selfe_eval.score.features.protocol import ClipTowers, Extractor
from selfe_eval.score.fidelity.rows import BLOCK


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """The numbers of a run."""

    run: Run
    """With the record as it is now."""
    summary: Summary | None
    """GenEval's, where it was measured."""
    measures: MeasureSet | None
    """The other metrics', where any was."""
    notices: tuple[str, ...] = ()
    """Sentences for the person at the terminal; nothing that changes a number."""


def measure(
    run: Run, instruments: Instruments, progress: Progress, *, found: FoundImages | None = None
) -> Measurements:
    """Take a run through every stage that is left, with these instruments.

    Args:
        run: The run; the caller holds its lock.
        instruments: What looks at the images.
        progress: Told about every batch.
        found: The images that somebody else made, where the caller has just looked for them.

    Raises:
        UntrustworthyError: images are missing or damaged.
    """
    suite = suite_of(run)
    scorer = instruments.scorer
    weights = {name: None if path is None else str(path) for name, path in instruments.weights.items()}
    run = run.update(measures=run.record.measures.measured_with(weights))
    run = make_images(run, suite, progress, None if scorer is None else scorer.score, found)
    before = run.record.status
    run, notices = score_again(run, instruments, progress)
    summary = None
    if scorer is not None:
        run, summary = summarise(run, suite)
    measures = summarise_measures(run, suite)
    if scorer is None:  # whether a run with GenEval is complete is for GenEval to say
        run = run.update(status=before if run.record.measures.is_judged else "complete")
    return Measurements(run=run, summary=summary, measures=measures, notices=notices)


def score_again(run: Run, instruments: Instruments, progress: Progress) -> tuple[Run, tuple[str, ...]]:
    """Look at the images that are there, and write what each metric makes of them.

    Args:
        run: The run; the caller holds its lock.
        instruments: What looks at the images.
        progress: Told about every batch.

    Returns:
        The run, and sentences for the person at the terminal.

    Raises:
        UntrustworthyError: images are missing or damaged.
    """
    suite = suite_of(run)
    run = look(run, _viewers(run, suite, instruments), progress)
    if instruments.measured:
        run = _with_releases(run)
    if run.ranks.is_first:
        _write_values(run, suite, instruments)
    run.ranks.meet()
    notices: tuple[str, ...] = ()
    if instruments.reference is not None:
        notices = measure_distances(
            run, suite, instruments.measured, instruments.extractors, instruments.reference, progress
        )
    return run, notices


def summarise_all(run: Run) -> Measurements:
    """The numbers of every metric of a run, from what is written.

    Raises:
        UntrustworthyError: a metric has no numbers yet, or they cannot be believed.
    """
    suite = suite_of(run)
    summary = None
    if run.record.measures.is_judged:
        run, summary = summarise(run, suite)
    measures = summarise_measures(run, suite)
    if summary is None:
        run = run.update(status="complete")
    return Measurements(run=run, summary=summary, measures=measures)


def _with_releases(run: Run) -> Run:
    """The run with an attempt that names what is installed, where none does: features may be older than that."""
    now = attempt(stage="measure")
    if any(one.get("versions") == now["versions"] for one in run.record.attempts):
        return run
    return run.update(attempts=(*run.record.attempts, now))


def _viewers(run: Run, suite: Suite, instruments: Instruments) -> list[Viewer]:
    viewers: list[Viewer] = [FeatureViewer(run, extractor) for extractor in instruments.extractors.values()]
    if instruments.scorer is not None:
        viewers.append(GenEvalViewer(run, suite, instruments.scorer))
    return viewers


def _write_values(run: Run, suite: Suite, instruments: Instruments) -> None:
    """The numbers of single images that follow from features."""
    for measured in instruments.measured:
        extractor = instruments.extractors[str(measured.extractor)]
        if measured.metric.name == CLIP_SCORE:
            assert instruments.clip is not None
            assert isinstance(extractor, ClipTowers)
            write_clip_scores(run, suite, measured, instruments.clip, extractor, _blocks(run, extractor))
        elif measured.metric.need == "several":
            write_spread(run, measured, extractor.describe(), _blocks(run, extractor))


def _blocks(run: Run, extractor: Extractor) -> Iterator[FeatureBlock]:
    """The features of all images in the order of the plan."""
    for steps in run.spec.steps:
        images, features = features_at(run, extractor, steps)
        for start in range(0, len(images), BLOCK):
            part = slice(start, start + BLOCK)
            yield FeatureBlock(images=images[part], features=features[part])
