"""Are the metrics of a run beside GenEval whole and unchanged: features, numbers, and ``metrics.json``?

Features are compared with the images by the hashes they keep, numbers with the images and with their protocol, and
``metrics.json`` with what the numbers give. Nothing is computed with a network.
"""

from __future__ import annotations

from collections.abc import Iterator

from selfe_eval.errors import SelfeEvalError
from selfe_eval.metrics import Measured
from selfe_eval.pipeline.extract import feature_files
from selfe_eval.pipeline.plan import planned_keys
from selfe_eval.pipeline.summarise_measures import Images, measured_metrics, measures_of
from selfe_eval.records import Suite
from selfe_eval.report.measures import measures_bytes
from selfe_eval.runs import layout
from selfe_eval.runs.run import Run
from selfe_eval.runs.values import read_values
from selfe_eval.score.features.store import stored_hashes


def measure_problems(run: Run, suite: Suite, images: Images) -> Iterator[str]:
    """Everything that is wrong with the metrics beside GenEval, one line each.

    Args:
        run: The run.
        suite: Its suite.
        images: Its image records.
    """
    for measured in measured_metrics(run):
        yield from _missing_values(run, measured, images)
    yield from _feature_problems(run, images)
    yield from _document_problems(run, suite)


def _missing_values(run: Run, measured: Measured, images: Images) -> Iterator[str]:
    """Images without a number, where each should have one."""
    path = layout.scores_path(run.folder, measured.file_stem)
    if measured.metric.need == "reference" or not path.is_file():
        return
    try:
        values = read_values(path)
    except SelfeEvalError:
        return  # said with metrics.json, which is made of them
    for key in planned_keys(run.record):
        if key in images and key not in values:
            yield f"{images[key].path}: has no {measured.name}"


def _feature_problems(run: Run, images: Images) -> Iterator[str]:
    """Files of features that are no batch of this run, or were made from other images."""
    for folder in sorted((run.folder / layout.FEATURES_FOLDER).glob("*")):
        planned = feature_files(run.record, folder)
        for path in sorted(folder.glob("*.safetensors")):
            name = path.relative_to(run.folder).as_posix()
            expected = [images[key].sha256 for key in planned.get(path, ()) if key in images]
            try:
                found = stored_hashes(path)
            except SelfeEvalError as error:
                yield str(error)
                continue
            if path not in planned:
                yield f"{name}: no batch of this run"
            elif found != tuple(expected):
                yield f"{name}: was made from other images than the run has"


def _document_problems(run: Run, suite: Suite) -> Iterator[str]:
    path = run.folder / layout.METRICS_FILE
    try:
        measures = measures_of(run, suite)
    except SelfeEvalError as error:
        yield str(error)
        return
    if measures is None:
        if path.exists():
            yield f"{layout.METRICS_FILE}: no metric was asked for that it could hold"
    elif not path.is_file():
        yield f"{layout.METRICS_FILE}: is missing"
    elif path.read_bytes() != measures_bytes(measures):
        yield f"{layout.METRICS_FILE}: is not what the numbers give"
