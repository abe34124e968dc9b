"""Open a run folder for work: made, locked, seen to take files, and wrapped so that it stops well."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from selfe_eval import provenance
from selfe_eval.errors import UsageError
from selfe_eval.pipeline.plan import planned_keys
from selfe_eval.pipeline.stopping import stopping_well
from selfe_eval.runs import layout
from selfe_eval.runs.atomic import atomic_write
from selfe_eval.runs.images import read_images
from selfe_eval.runs.run import Run, RunRecord, create_or_open, lock_folder, open_run

RUNS_FOLDER = Path("results", "runs")
"""Where runs go without ``--out``, below the working directory."""

_BLOCK_BYTES = 4096
"""The least that a file takes on common file systems."""


def run_folder(record: RunRecord, out: Path | None) -> Path:
    """``out``, or the default folder, which follows from the spec alone: the same command finds it again."""
    return RUNS_FOLDER / record.spec.folder_name() if out is None else out


def see_writable(folder: Path, record: RunRecord) -> None:
    """See that a folder would take the run, before anything slow is loaded; leaves no new folder behind.

    Raises:
        UsageError: it cannot be written, is too full, or is in use.
    """
    is_new = not folder.exists()
    with _planned_folder(folder, record):
        if is_new:
            _remove_traces(folder)


@contextlib.contextmanager
def planned_run(folder: Path, record: RunRecord) -> Iterator[Run]:
    """Hold the run of this record: created where the folder is new or empty, else opened.

    Raises:
        UsageError: the folder cannot be written, is in use, or holds something else.
        UntrustworthyError: a file error stopped the work inside.
    """
    with _planned_folder(folder, record):
        run = create_or_open(folder, replace(record, attempts=(provenance.attempt(stage="plan"),)))
        with stopping_well(run):
            yield run


@contextlib.contextmanager
def existing_run(folder: Path) -> Iterator[Run]:
    """Hold the run that lies in a folder.

    Raises:
        UsageError: there is none, it cannot be written, or it is in use.
        UntrustworthyError: a file error stopped the work inside.
    """
    record = open_run(folder).record
    with _held(folder, record):
        run = open_run(folder)
        with stopping_well(run):
            yield run


@contextlib.contextmanager
def _planned_folder(folder: Path, record: RunRecord) -> Iterator[None]:
    """Hold a folder that takes the run of this record, made if missing.

    Raises:
        UsageError: it cannot be written, is too full, or is in use.
    """
    with _refuse_unwritable(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _held(folder, record):
        yield


@contextlib.contextmanager
def _held(folder: Path, record: RunRecord) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        with _refuse_unwritable(folder):
            stack.enter_context(lock_folder(folder))
            _probe(folder, record)
        yield


def _probe(folder: Path, record: RunRecord) -> None:
    """See that the folder takes a file, and has room for the images that are still to come."""
    probe = folder / layout.PROBE_FILE
    atomic_write(probe, bytes(_BLOCK_BYTES))
    probe.unlink()
    num_missing = len(planned_keys(record)) - len(read_images(folder / layout.IMAGES_FILE))
    needed, free = num_missing * _BLOCK_BYTES, shutil.disk_usage(folder).free
    if record.spec.source == "checkpoint" and free < needed:
        raise OSError(errno.ENOSPC, f"{num_missing} images need at least {needed} bytes, and {free} are free")


def _remove_traces(folder: Path) -> None:
    """Remove a folder that holds nothing but the lock, which the caller holds; another run's files would stay."""
    with contextlib.suppress(OSError):
        (folder / layout.LOCK_FILE).unlink()
        folder.rmdir()


@contextlib.contextmanager
def _refuse_unwritable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"The output folder {folder} cannot be written: {error.strerror or error}. Nothing was computed. Make room or "
            "change its permissions, or choose another folder with --out."
        ) from error
