"""FID and its kin of a run, from stored features: one number a step count, with its replicates. No run image is looked at.

    reference = find_reference(typed, suite, progress)     # references.py: at once, before anything slow
    refuse_unusable(reference, wanted)
    notices = measure_distances(run, suite, wanted, extractors, reference, progress)

Each metric writes ``scores/<stem>.json``, a step count at a time. What is there already for the same images, protocol and
version of this code is kept. All step counts leave out the same groups of prompts, so that differences are paired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.metrics import Measured
from selfe_eval.pipeline.comparing import FRECHET, Side, comparison, fewest, method_of, needs_neighbors
from selfe_eval.pipeline.extract import features_at
from selfe_eval.pipeline.plan import planned_keys
from selfe_eval.pipeline.progress import Progress
from selfe_eval.pipeline.reference_features import reference_features
from selfe_eval.pipeline.reference_statistics import ReferenceStatistics
from selfe_eval.pipeline.references import Reference, refuse_other_width, refuse_unusable
from selfe_eval.records import Suite
from selfe_eval.runs import layout
from selfe_eval.runs.distances import Distance, Distances, images_sha256, read_distances, write_distances
from selfe_eval.runs.images import ImageRecord
from selfe_eval.runs.run import Run
from selfe_eval.runs.scores import protocol_of
from selfe_eval.score.features.protocol import Extractor
from selfe_eval.score.fidelity.frechet import Gaussian
from selfe_eval.score.fidelity.replicates import Replicated, prompt_groups
from selfe_eval.score.fidelity.rows import Rows

VERSION = 1
"""Of how the numbers are computed; part of every protocol. Whoever changes a number counts it up."""

RELIABLE_IMAGES = 5000
"""Fewer make a Frechet distance unreliable: its bias falls as 1/n."""


def measure_distances(
    run: Run,
    suite: Suite,
    wanted: Sequence[Measured],
    extractors: Mapping[str, Extractor],
    reference: Reference,
    progress: Progress,
) -> tuple[str, ...]:
    """Compute and write every number that is missing. Of several processes the first one does; the others wait for it.

    Args:
        run: The run, with the features of its images; the caller holds its lock.
        suite: The run's suite.
        wanted: Metrics; those that are compared with no reference are passed over.
        extractors: Name -> extractor, of every metric that is.
        reference: What `find_reference` found.
        progress: Told about the images of the reference that have no features yet, and about every step count.

    Returns:
        Sentences for the person at the terminal; nothing that changes a number.

    Raises:
        UsageError: the reference does not have what a metric needs.
        UntrustworthyError: images or features are missing, too few, or damaged.
    """
    compared = [one for one in wanted if one.metric.need == "reference"]
    refuse_unusable(reference, compared)
    notices: list[str] = []
    if run.ranks.is_first:
        for name in dict.fromkeys(str(one.extractor) for one in compared):
            own = [one for one in compared if one.extractor == name]
            notices += _measured_with(extractors[name], run, suite, own, reference, progress)
    run.ranks.meet()
    return tuple(notices)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Images:
    """The images of a run at one step count."""

    steps: int
    records: tuple[ImageRecord, ...]
    rows: Rows
    """(N, d) their features."""
    sha256: str

    @property
    def prompt_ids(self) -> list[int]:
        """(N,)."""
        return [image.key.prompt_id for image in self.records]


def _measured_with(
    extractor: Extractor,
    run: Run,
    suite: Suite,
    wanted: Sequence[Measured],
    reference: Reference,
    progress: Progress,
) -> tuple[str, ...]:
    """The metrics of one extractor: the reference is looked at once for all step counts, and only where one lacks a number."""
    groups = _groups(run, suite)
    images = [_images(run, extractor, steps) for steps in run.spec.steps]
    for one in wanted:
        _refuse_too_few(one, images, reference)
    documents = {one.name: _document(run, one, extractor, reference, images) for one in wanted}
    lacking = {
        here.steps: [one for one in wanted if here.steps not in documents[one.name].steps] for here in images
    }
    side: Side | None = None
    notices: tuple[str, ...] = ()
    if any(lacking.values()):
        side, notices = _side(reference, extractor, progress)
    total = sum(len(here.records) for here in images)
    done = sum(len(here.records) for here in images if not lacking[here.steps])
    with progress.stage(f"compare ({extractor.name})", total=total, done=done) as advance:
        for here in images:
            missing = lacking[here.steps]
            if not missing or side is None:
                continue
            group = np.array([groups[prompt_id] for prompt_id in here.prompt_ids])
            names = [one.metric.name for one in missing]
            found = comparison(names, here.rows, group, side, num_groups=len(set(groups.values())))
            for one in missing:
                number = _distance(one, here, found[one.metric.name])
                document = documents[one.name]
                documents[one.name] = replace(document, steps={**document.steps, here.steps: number})
                _write(run, one, documents[one.name])
            advance(len(here.records), f"{here.steps} steps")
    for one in wanted:
        _write(run, one, documents[one.name])
    return notices


def _groups(run: Run, suite: Suite) -> dict[int, int]:
    tasks = {prompt.prompt_id: prompt.task for prompt in suite.prompts}
    prompt_ids = run.record.prompt_ids
    return prompt_groups(prompt_ids, [tasks[prompt_id] for prompt_id in prompt_ids])


def _side(reference: Reference, extractor: Extractor, progress: Progress) -> tuple[Side, tuple[str, ...]]:
    """The reference in the space of an extractor, and what there is to tell the person."""
    if not isinstance(reference, ReferenceStatistics):
        found = reference_features(reference, extractor, progress)
        return Side(found.rows), found.notices
    refuse_other_width(reference, extractor)
    unknown = 0  # how many images they were made from; no distance of a run asks
    return Side(Gaussian(mean=reference.mean, covariance=reference.covariance, n=unknown)), ()


def _images(run: Run, extractor: Extractor, steps: int) -> _Images:
    """The images of a step count with their features; all that are planned, where the run is not partial."""
    records, rows = features_at(run, extractor, steps)
    planned = sum(key.steps == steps for key in planned_keys(run.record))
    if len(records) < planned and not run.record.partial:
        raise UntrustworthyError(
            f"{run.folder} has {len(records)} of {planned} images at {steps} steps. A distance of some of them would be "
            f"another number. Draw the others with `{run.resume_command}`."
        )
    sha256 = images_sha256(image.sha256 for image in records)
    return _Images(steps=steps, records=tuple(records), rows=rows, sha256=sha256)


def _refuse_too_few(measured: Measured, images: Sequence[_Images], reference: Reference) -> None:
    """Fail before anything slow is computed."""
    own, others = fewest(measured.metric.name)
    for here in images:
        if len(here.records) < own:
            raise UntrustworthyError(
                f"{measured.name} needs {own} images at least and there are {len(here.records)} at {here.steps} steps. Take "
                "more prompts (--limit) or more images of each (--images-per-prompt)."
            )
    n = reference.num_images
    if n is not None and n < others:
        raise UsageError(
            f"{measured.name} needs a reference of {others} images at least, and {reference.title} has {n}. Give more "
            "images with --reference, as many as the run has or more."
        )


def _document(
    run: Run, measured: Measured, extractor: Extractor, reference: Reference, images: Sequence[_Images]
) -> Distances:
    """What is known before anything is computed, with the numbers that are there already and still hold."""
    protocol = {
        "metric": measured.name,
        "version": VERSION,
        **method_of(measured.metric.name),
        "extractor": protocol_of(extractor.describe()),
        "reference": reference.record(),
        "prompts": len(run.record.prompt_ids),
        "images_per_prompt": run.spec.images_per_prompt,
    }
    stored = read_distances(layout.distances_path(run.folder, measured.file_stem))
    kept = {}
    if stored is not None and stored.metric == measured.name and stored.protocol == protocol:
        kept = {
            here.steps: stored.steps[here.steps]
            for here in images
            if here.steps in stored.steps and stored.steps[here.steps].images_sha256 == here.sha256
        }
    notes = _notes(run, measured, extractor, reference, min(len(here.records) for here in images))
    return Distances(metric=measured.name, protocol=protocol, notes=notes, steps=kept)


def _notes(
    run: Run, measured: Measured, extractor: Extractor, reference: Reference, num_images: int
) -> tuple[str, ...]:
    """What a reader of the numbers must know."""
    num_others = reference.num_images
    notes = [f"Compared with {reference.title}{'' if num_others is None else f', {num_others} images'}."]
    notes += reference.notes
    if run.record.partial:
        notes.append("The run is partial: comparable only with runs of the same prompts.")
    fewer = num_images if num_others is None else min(num_images, num_others)
    if measured.metric.name in FRECHET and fewer <= extractor.width:
        notes.append(
            f"Unreliable: {fewer} images do not determine a covariance of width {extractor.width}; what is missing adds to "
            "the distance. Compare only numbers of the same count, or use KID or CMMD."
        )
    elif measured.metric.name in FRECHET and fewer < RELIABLE_IMAGES:
        notes.append(
            f"Unreliable (N < 5k): {fewer} images make the distance too large, by about 1/N. Compare only numbers of the "
            "same count."
        )
    elif num_others not in {None, num_images} and needs_neighbors(measured.metric.name):
        notes.append(
            f"The run has {num_images} images at a step count and the reference {num_others}: how far neighbours are follows "
            "from how many there are, so compare only numbers of the same counts."
        )
    return tuple(notes)


def _distance(measured: Measured, here: _Images, found: Replicated) -> Distance:
    if not np.isfinite([found.value, *found.without]).all():
        raise UntrustworthyError(
            f"{measured.name} at {here.steps} steps is {found.value}: features of the run or of the reference are not finite. "
            "Delete the run's features folder and score it again, with --device cpu if it stays."
        )
    return Distance(
        value=found.value,
        without=tuple(found.without.tolist()),
        n=len(here.records),
        n_clusters=len(set(here.prompt_ids)),
        images_sha256=here.sha256,
    )


def _write(run: Run, measured: Measured, document: Distances) -> None:
    """Bring the file up to date; one that is stays untouched."""
    path = layout.distances_path(run.folder, measured.file_stem)
    if document.steps and read_distances(path) != document:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_distances(path, document)
