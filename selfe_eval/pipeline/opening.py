"""Open a run folder for work: made, locked, seen to take files, and wrapped so that it stops well.

Of several processes that share a job the first one does all that; the others wait and then read what it wrote.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from selfe_eval import provenance
from selfe_eval.errors import UsageError
from selfe_eval.pipeline.plan import planned_keys
from selfe_eval.pipeline.stopping import stopping_well
from selfe_eval.ranks import Ranks, joined, ranks_here
from selfe_eval.report.summary import METRIC
from selfe_eval.runs import layout
from selfe_eval.runs.atomic import atomic_write
from selfe_eval.runs.images import read_images
from selfe_eval.runs.judge import JudgeOptions
from selfe_eval.runs.run import Run, RunRecord, create_or_open, lock_folder, open_run
from selfe_eval.runs.scores import read_scores
from selfe_eval.runs.shards import put_together, read_with_shards

RUNS_FOLDER = Path("results", "runs")
"""Where runs go without ``--out``, below the working directory."""

_BLOCK_BYTES = 4096
"""The least that a file takes on common file systems."""


def run_folder(record: RunRecord, out: Path | None) -> Path:
    """``out``, or the default folder, which follows from spec and judge: the same command finds it again."""
    if out is not None:
        return out
    judge = "" if record.judge == JudgeOptions() else f"-{provenance.json_sha256(record.judge.as_json())[:6]}"
    return RUNS_FOLDER / (record.spec.folder_name() + judge)


def see_writable(folder: Path, record: RunRecord) -> None:
    """See that a folder would take the run, before anything slow is loaded; leaves no new folder behind.

    Raises:
        UsageError: it cannot be written, is too full, or is in use.
    """
    if not ranks_here().is_first:
        return
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    with _planned_folder(folder, record):
        if made:
            _remove_traces(made)
        else:
            _remove_lock_of_no_run(folder)


@contextlib.contextmanager
def planned_run(folder: Path, record: RunRecord) -> Iterator[Run]:
    """Hold the run of this record: created where the folder is new or empty, else opened.

    Raises:
        UsageError: the folder cannot be written, is in use, or holds something else.
        UntrustworthyError: a file error stopped the work inside.
    """
    with joined() as ranks, contextlib.ExitStack() as stack:
        if ranks.is_first:
            stack.enter_context(_planned_folder(folder, record))
            planned = replace(record, attempts=(provenance.attempt(stage="plan"),))
            try:
                run = create_or_open(folder, planned, ranks)
            except UsageError:
                _remove_lock_of_no_run(folder)
                raise
            _absorb_shards(run)
        with _opened_by_all(folder, ranks) as run:
            yield replace(run, named=record.spec.adapter)


@contextlib.contextmanager
def existing_run(folder: Path) -> Iterator[Run]:
    """Hold the run that lies in a folder.

    Raises:
        UsageError: there is none, it cannot be written, or it is in use.
        UntrustworthyError: a file error stopped the work inside.
    """
    with joined() as ranks, contextlib.ExitStack() as stack:
        if ranks.is_first:
            stack.enter_context(_held(folder, open_run(folder).record))
            _absorb_shards(open_run(folder))
        with _opened_by_all(folder, ranks) as run:
            yield run


@contextlib.contextmanager
def _opened_by_all(folder: Path, ranks: Ranks) -> Iterator[Run]:
    """The run that the first process has prepared, in every process."""
    ranks.meet()
    run = open_run(folder, ranks)
    with stopping_well(run):
        yield run


def _absorb_shards(run: Run) -> None:
    """Take in what the processes of a killed job left, before anybody asks what is missing."""
    scores_file = layout.scores_path(run.folder, METRIC)
    if layout.shard_paths(run.images_file):
        put_together(run.images_file, read_images)
    if layout.shard_paths(scores_file):
        put_together(scores_file, read_scores)


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
    num_missing = len(planned_keys(record)) - len(read_with_shards(folder / layout.IMAGES_FILE, read_images))
    needed, free = num_missing * _BLOCK_BYTES, shutil.disk_usage(folder).free
    if record.spec.is_drawn and free < needed:
        raise OSError(errno.ENOSPC, f"{num_missing} images need at least {needed} bytes, and {free} are free")


def _remove_lock_of_no_run(folder: Path) -> None:
    """Leave somebody else's folder as it was; the lock, which the caller holds, stays where there is a run."""
    if not (folder / layout.RUN_FILE).exists():
        with contextlib.suppress(OSError):
            (folder / layout.LOCK_FILE).unlink()


def _remove_traces(made: Sequence[Path]) -> None:
    """Remove new folders, innermost first, that hold nothing but the lock, which the caller holds; other files stay."""
    with contextlib.suppress(OSError):
        (made[0] / layout.LOCK_FILE).unlink()
        for folder in made:
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
