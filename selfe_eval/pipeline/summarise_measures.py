"""Stage four for the metrics beside GenEval: reads their files in ``scores/``, writes ``metrics.json``.

No image and no feature is looked at. A number that was computed from other images than the run's records name is
refused, and so is a metric that was asked for and has no file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selfe_eval.errors import UntrustworthyError
from selfe_eval.metrics import Measured, measured_on
from selfe_eval.pipeline.plan import planned_keys
from selfe_eval.provenance import json_sha256
from selfe_eval.records import ImageKey, Suite
from selfe_eval.report.measures import Measure, MeasureSet, measures_bytes
from selfe_eval.report.measuring import (
    Design,
    ImageNumbers,
    design_of,
    measure_of_images,
    measure_of_sets,
    measure_set,
)
from selfe_eval.runs import layout
from selfe_eval.runs.atomic import atomic_write
from selfe_eval.runs.distances import images_sha256, read_distances
from selfe_eval.runs.images import ImageRecord, read_images
from selfe_eval.runs.journal import refuse_constant
from selfe_eval.runs.run import Run
from selfe_eval.runs.values import ValueRecord, read_values
from selfe_eval.score.clip_score import protocol_for

Images = Mapping[ImageKey, ImageRecord]


def summarise_measures(run: Run, suite: Suite) -> MeasureSet | None:
    """Compute the numbers of every metric but GenEval and write them, where they changed.

    Args:
        run: The run; the caller holds its lock. Of several processes the first one writes.
        suite: The run's suite.

    Returns:
        The numbers, or None where GenEval alone is measured.

    Raises:
        UntrustworthyError: a metric has no numbers yet, or they cannot be believed.
    """
    measures = measures_of(run, suite)
    path = run.folder / layout.METRICS_FILE
    if measures is None or not run.ranks.is_first:
        return measures
    content = measures_bytes(measures)
    if not path.is_file() or path.read_bytes() != content:
        atomic_write(path, content)
    return measures


def measures_of(run: Run, suite: Suite) -> MeasureSet | None:
    """The numbers that the files in ``scores/`` give; nothing is written.

    Raises:
        UntrustworthyError: a metric has no numbers yet, or they cannot be believed.
    """
    measured = measured_metrics(run)
    if not measured:
        return None
    found = read_images(run.images_file)
    images = {key: found[key] for key in planned_keys(run.record) if key in found}
    design = design_of(run.record, suite, {key: image.seconds for key, image in images.items()})
    return measure_set(run.record, suite, [_measure(run, one, design, images) for one in measured])


def measured_metrics(run: Run) -> list[Measured]:
    """What is measured of a run beside GenEval, in the order of its record, under whichever names it was typed."""
    suite, options = run.spec.suite, run.record.measures
    found = []
    for typed in options.metrics:
        measured = measured_on(typed, suite)
        if measured.metric.need == "captions":
            found.append(protocol_for(options.clip_protocol, suite, typed)[0])
        elif measured.metric.need != "judge":
            found.append(measured)
    return list(dict.fromkeys(found))


def _measure(run: Run, measured: Measured, design: Design, images: Images) -> Measure:
    if measured.metric.need == "reference":
        return _of_sets(run, measured, design, images)
    return measure_of_images(measured, _image_numbers(run, measured, images), design)


def _image_numbers(run: Run, measured: Measured, images: Images) -> ImageNumbers:
    """The values of the images that are there; one of an image that is not, or was another one, is refused."""
    path = layout.scores_path(run.folder, measured.file_stem)
    if not path.is_file():
        raise _no_file(run, measured, path)
    protocol, notes = _protocol(run, measured)
    scorer = json_sha256(protocol)[:16]
    values = read_values(path)
    for key, value in values.items():
        problem = _value_problem(value, images.get(key), scorer)
        if problem:
            raise _untrue(run, measured, path, problem)
    numbers = {key: value.value for key, value in values.items()}
    return ImageNumbers(numbers=numbers, protocol=protocol, notes=notes)


def _value_problem(value: ValueRecord, image: ImageRecord | None, scorer: str) -> str:
    if image is None:
        return f"it speaks of {value.key}, of which the run has no image"
    if value.image_sha256 != image.sha256:
        return f"{image.path} has changed since it was measured"
    if value.scorer != scorer:
        return f"the number of {image.path} was computed by another protocol ({value.scorer}, now {scorer})"
    return ""


def _protocol(run: Run, measured: Measured) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    path = layout.scorer_path(run.folder, measured.file_stem)
    try:
        document = json.loads(path.read_bytes(), parse_constant=refuse_constant)
        return dict(document["protocol"]), tuple(map(str, document["notes"]))
    except FileNotFoundError as error:
        raise _no_file(run, measured, path) from error
    except (KeyError, OSError, TypeError, ValueError) as error:
        raise _untrue(run, measured, path, f"{type(error).__name__} {error}") from error


def _of_sets(run: Run, measured: Measured, design: Design, images: Images) -> Measure:
    path = layout.distances_path(run.folder, measured.file_stem)
    distances = read_distances(path)
    if distances is None:
        raise _no_file(run, measured, path)
    if distances.metric != measured.name:
        raise _untrue(run, measured, path, f"it holds {distances.metric}")
    for steps in design.steps:
        if steps not in distances.steps:
            raise _untrue(run, measured, path, f"it has no number at {steps} steps")
        now = images_sha256(image.sha256 for key, image in images.items() if key.steps == steps)
        if distances.steps[steps].images_sha256 != now:
            raise _untrue(
                run, measured, path, f"the images at {steps} steps have changed since they were measured"
            )
    try:
        return measure_of_sets(measured, distances, design)
    except ValueError as error:
        raise _untrue(run, measured, path, str(error)) from error


def _no_file(run: Run, measured: Measured, path: Path) -> UntrustworthyError:
    return UntrustworthyError(
        f"The run {run.folder} was asked for {measured.name} and has no numbers of it: expected the file {path}. Go on "
        f"with: {run.resume_command}"
    )


def _untrue(run: Run, measured: Measured, path: Path, problem: str) -> UntrustworthyError:
    return UntrustworthyError(
        f"The numbers of {measured.name} in {path} cannot be believed: {problem}. Delete that file and measure again: "
        f"{run.resume_command}; images and features stay."
    )
