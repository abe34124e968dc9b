"""A journal that several processes add to: each into a shard of its own, then put together by the first one.

The first process appends to the journal itself, every other to a shard beside it (``layout.shard_path``), so that no
two write to one file. Putting together replaces the journal in one step and deletes the shards after it: a crash
between the two leaves records twice, and the next time they are found to be there already. Shards that a killed job
left are absorbed when the folder is opened again, by any number of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from selfe_eval.records import ImageKey
from selfe_eval.runs import layout
from selfe_eval.runs.journal import rewrite_journal
from selfe_eval.runs.run import Run, open_run


class Record(Protocol):
    """A line of a journal."""

    def as_json(self) -> dict[str, Any]:
        """The line."""
        ...


AnyRecord = TypeVar("AnyRecord", bound=Record)
Reader = Callable[[Path], Mapping[ImageKey, AnyRecord]]
"""Reads a journal: its records by key, none where there is no file."""


def read_with_shards(journal: Path, read: Reader[AnyRecord]) -> dict[ImageKey, AnyRecord]:
    """The records of a journal and of the shards beside it, in the order of the plan.

    The shards are read first, since they are deleted only once the journal holds their records.

    Raises:
        UntrustworthyError: a line of one of the files cannot be believed.
    """
    return _joined([read(path) for path in (*layout.shard_paths(journal), journal)])


def put_together(journal: Path, read: Reader[AnyRecord]) -> None:
    """Absorb the shards of a journal and put it into the order of the plan; where it is, nothing is written.

    Raises:
        UntrustworthyError: a line of one of the files cannot be believed.
        OSError: the disk is full or not writable; every record stays.
    """
    shards = layout.shard_paths(journal)
    there = read(journal)
    records = _joined([*map(read, shards), there])
    if list(records) != list(there):
        rewrite_journal(journal, [record.as_json() for record in records.values()])
    for shard in shards:
        shard.unlink()


def _joined(files: Sequence[Mapping[ImageKey, AnyRecord]]) -> dict[ImageKey, AnyRecord]:
    """The records of several files in the order of the plan; of one that occurs twice, the later file's."""
    found: dict[ImageKey, AnyRecord] = {}
    for records in files:
        found.update(records)
    return dict(sorted(found.items()))


def gather(run: Run, journal: Path, read: Reader[AnyRecord]) -> Run:
    """End a stage: wait for every process, put together what they wrote, and go on from the same records.

    Args:
        run: The run, as this process has it.
        journal: What the stage writes.
        read: Reads the journal.

    Returns:
        The run as the first process has it.

    Raises:
        UntrustworthyError: a line cannot be believed, or another process will never come.
        OSError: the disk is full or not writable.
    """
    run.ranks.meet()
    if run.ranks.is_first:
        put_together(journal, read)
    run.ranks.meet()
    return run if run.ranks.is_first else open_run(run.folder, run.ranks)
