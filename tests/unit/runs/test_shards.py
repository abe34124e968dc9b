from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from selfe_eval.errors import UntrustworthyError
from selfe_eval.ranks import Ranks
from selfe_eval.records import ImageKey
from selfe_eval.runs import layout
from selfe_eval.runs.images import ImageRecord, read_images
from selfe_eval.runs.journal import append_records
from selfe_eval.runs.shards import put_together, read_with_shards

RECORDS = [
    ImageRecord(
        key=ImageKey(steps=steps, prompt_id=prompt_id, image_index=0),
        path=f"{steps}-{prompt_id}.png",
        sha256="0" * 64,
        seed=5,
        seconds=0.25,
    )
    for steps, prompt_id in itertools.product((1, 4, 50), (0, 9, 10))
]
"""In the order of the plan."""


def write(path: Path, records: Iterable[ImageRecord]) -> None:
    append_records(path, [record.as_json() for record in records])


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A journal that three processes have added to, dealt out like cards."""
    path = tmp_path / "images.jsonl"
    for rank in range(3):
        write(layout.shard_path(path, rank), Ranks(index=rank, count=3).share(RECORDS))
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_shards_lie_beside_the_journal_and_the_first_process_writes_into_it(journal: Path) -> None:
    """Each process has a file of its own, and its name says whose it is."""
    assert names(journal.parent) == ["images.jsonl", "images.rank-001.jsonl", "images.rank-002.jsonl"]
    assert layout.shard_paths(journal) == [layout.shard_path(journal, rank) for rank in (1, 2)]


def test_put_together_is_one_journal_in_the_order_of_the_plan(journal: Path, tmp_path: Path) -> None:
    """Whoever made what, the journal is to the byte that of one process, and the shards are gone."""
    write(tmp_path / "one.jsonl", RECORDS)
    put_together(journal, read_images)
    assert journal.read_bytes() == (tmp_path / "one.jsonl").read_bytes()
    assert names(tmp_path) == ["images.jsonl", "one.jsonl"]


def test_reading_sees_what_lies_in_the_shards(journal: Path) -> None:
    """Whoever only looks finds every record in order, and nothing is written."""
    before = {name: (journal.parent / name).read_bytes() for name in names(journal.parent)}
    assert list(read_with_shards(journal, read_images).values()) == RECORDS
    assert {name: (journal.parent / name).read_bytes() for name in names(journal.parent)} == before


def test_shards_that_were_absorbed_already_do_no_harm(journal: Path) -> None:
    """A crash after the journal was written and before a shard was deleted changes nothing."""
    shards = {path: path.read_bytes() for path in layout.shard_paths(journal)}
    put_together(journal, read_images)
    whole = journal.read_bytes()
    for path, content in shards.items():
        path.write_bytes(content)
        put_together(journal, read_images)
        assert journal.read_bytes() == whole
        assert layout.shard_paths(journal) == []


def test_the_journal_counts_where_a_shard_says_something_else(tmp_path: Path) -> None:
    """What stands in the journal is never replaced by what an old shard says."""
    journal = tmp_path / "images.jsonl"
    write(journal, RECORDS[:2])
    write(layout.shard_path(journal, 1), [replace(RECORDS[1], sha256="1" * 64), RECORDS[2]])
    put_together(journal, read_images)
    assert list(read_images(journal).values()) == RECORDS[:3]


def test_a_torn_shard_keeps_its_whole_lines(journal: Path) -> None:
    """The last line of a killed process may be cut anywhere: it is left out, and the rest is absorbed."""
    shard = layout.shard_path(journal, 2)
    shard.write_bytes(shard.read_bytes()[:-7])
    put_together(journal, read_images)
    assert list(read_images(journal).values()) == [record for record in RECORDS if record is not RECORDS[8]]


def test_a_damaged_shard_is_named_and_nothing_is_lost(journal: Path) -> None:
    """A broken line in the middle is no trace of a crash: the error names the file, and every file stays."""
    shard = layout.shard_path(journal, 1)
    shard.write_bytes(b"{\n" + shard.read_bytes())
    before = journal.read_bytes()
    with pytest.raises(UntrustworthyError, match=r"Line 1 of .*images\.rank-001\.jsonl is damaged"):
        put_together(journal, read_images)
    assert journal.read_bytes() == before
    assert len(layout.shard_paths(journal)) == 2


def test_a_journal_in_order_is_not_written(tmp_path: Path) -> None:
    """Where there is nothing to do the file is not touched; where the order is wrong it is put right."""
    journal = tmp_path / "images.jsonl"
    write(journal, RECORDS)
    inode = journal.stat().st_ino
    put_together(journal, read_images)
    assert journal.stat().st_ino == inode
    whole = journal.read_bytes()
    journal.unlink()
    write(journal, [*RECORDS[4:], *RECORDS[:4]])
    put_together(journal, read_images)
    assert journal.read_bytes() == whole


def test_no_file_stays_no_file(tmp_path: Path) -> None:
    """Nothing to put together leaves nothing behind."""
    put_together(tmp_path / "images.jsonl", read_images)
    assert names(tmp_path) == []
