"""What a run's images are compared with: found, read and checked before anything slow begins.

    --reference DIR          the images of a folder
    --reference FILE.npz     mean and covariance that somebody else computed
    --reference RUN[@STEPS]  the images of an earlier run, by default at its largest step count
    (nothing)                the openmoji world's own scenes; other suites have no reference of their own

A reference is known by its content. Where it lies and what it is called is said in notes and decides nothing. There
is no torch here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from selfe_eval.errors import UsageError
from selfe_eval.metrics import Measured, is_of_openmoji
from selfe_eval.pipeline.comparing import FRECHET
from selfe_eval.pipeline.progress import Progress, Silence
from selfe_eval.pipeline.reference_images import ReferenceImages, folder_images, run_at, run_images
from selfe_eval.pipeline.reference_statistics import ReferenceStatistics, read_statistics
from selfe_eval.pipeline.reference_world import ReferenceWorld, world_of
from selfe_eval.records import Suite
from selfe_eval.score.features.protocol import Extractor

Reference = ReferenceImages | ReferenceStatistics | ReferenceWorld
"""Each has a ``title`` for sentences, ``num_images`` where it is known, ``notes`` for whoever reads a number, and a
``record()`` for its protocol."""

_STATISTICS = ".npz"


def find_reference(typed: str | None, suite: Suite, progress: Progress | None = None) -> Reference:
    """The reference that was asked for; its files are read once, and no pixel is decoded.

    Args:
        typed: The option ``--reference``; None for the suite's own.
        suite: The run's suite.
        progress: Told about every file.

    Raises:
        UsageError: there is no such reference, or it holds something else than usable images or statistics.
        UntrustworthyError: a run that lacks images, or whose files are not those it recorded.
    """
    progress = progress or Silence()
    if typed is None:
        if is_of_openmoji(suite.name):
            return world_of(suite)
        raise UsageError(
            f"The suite {suite.name} has no reference images of its own. Say what to compare with: --reference and a "
            "folder of images, a file of statistics (.npz), or a run folder (RUN, or RUN@STEPS)."
        )
    path = Path(typed)
    if path.suffix.lower() == _STATISTICS and not path.is_dir():
        return read_statistics(path)
    run = run_at(typed)
    if run is not None:
        return run_images(run, progress)
    if not path.is_dir():
        raise UsageError(
            f"--reference {typed}: found neither a folder nor a run there. Expected a folder of images, a file of "
            "statistics (.npz), or a run folder, with @STEPS behind it for another than its largest step count."
        )
    return folder_images(path, progress)


def is_enough(reference: Reference, measured: Measured) -> bool:
    """Whether a metric needs no more than the reference has: statistics are enough for Frechet distances alone."""
    needs_images = measured.metric.need == "reference" and measured.metric.name not in FRECHET
    return not (needs_images and isinstance(reference, ReferenceStatistics))


def refuse_unusable(reference: Reference, wanted: Sequence[Measured]) -> None:
    """Fail where a metric needs more than the reference has.

    Args:
        reference: What `find_reference` found.
        wanted: Metrics, those without a reference among them.

    Raises:
        UsageError: a metric needs images and the reference is statistics alone, or statistics, which are of one
            extractor, are asked to serve several.
    """
    lacking = [one.name for one in wanted if not is_enough(reference, one)]
    if lacking:
        raise UsageError(
            f"{', '.join(lacking)} cannot be computed against {reference.title}: mean and covariance are enough for "
            f"{', '.join(FRECHET)} alone. Give the folder of images with --reference, or leave these out."
        )
    compared = [one for one in wanted if one.metric.need == "reference"]
    if isinstance(reference, ReferenceStatistics) and len({one.extractor for one in compared}) > 1:
        named = ", ".join(f"{one.name} ({one.extractor})" for one in compared)
        raise UsageError(
            f"{reference.title} were made with one extractor, and these metrics have several: {named}. Measure each with "
            "its own statistics, in a command of its own, or give the folder of images with --reference."
        )


def refuse_other_width(reference: Reference, extractor: Extractor) -> None:
    """Fail where statistics were made with another extractor, as far as their width shows it.

    Raises:
        UsageError: the widths differ.
    """
    if isinstance(reference, ReferenceStatistics) and len(reference.mean) != extractor.width:
        raise UsageError(
            f"The width of {reference.title} is {len(reference.mean)}, but the extractor {extractor.name} makes features of "
            f"width {extractor.width}. Give statistics that were made with {extractor.name}, or the folder of images."
        )
