from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from selfe_eval.pipeline.plan import batches, planned_keys
from selfe_eval.pipeline.progress import Advance
from selfe_eval.pipeline.share import missing_batches, stage_of_share
from selfe_eval.ranks import ALONE, Ranks
from tests.fakes import small_record, small_suite

RECORD = small_record(small_suite())
PLANNED = batches(RECORD, 5)
"""Two step counts, each of batches of 5, 5, 5, 5 and 4 images."""


@dataclass
class Listener:
    """Remembers what it was told of stages."""

    stages: list[tuple[str, int, int]] = field(default_factory=list)

    @contextlib.contextmanager
    def stage(self, name: str, *, total: int, done: int) -> Iterator[Advance]:
        self.stages.append((name, total, done))
        yield lambda _count, _detail: None


def test_a_batch_is_missing_where_any_of_its_images_is() -> None:
    """Whole batches are computed, and only those in which something needs work."""
    keys = planned_keys(RECORD)
    assert missing_batches(ALONE, PLANNED, keys) == []
    assert missing_batches(ALONE, PLANNED, []) == PLANNED
    assert missing_batches(ALONE, PLANNED, [*keys[:7], *keys[8:]]) == [PLANNED[1]]


def test_one_process_tells_of_the_whole_run() -> None:
    """The bar of a single process begins at what is there."""
    listener = Listener()
    with stage_of_share("score", listener, ALONE, PLANNED, PLANNED[1:3]):
        pass
    assert listener.stages == [("score", 48, 38)]


def test_one_of_several_processes_tells_of_its_own_share() -> None:
    """What others do is not counted: the bar ends where this process's work ends, and says whose it is."""
    listener = Listener()
    with stage_of_share("score", listener, Ranks(count=2), PLANNED, PLANNED[3:]):
        pass
    assert listener.stages == [("score (process 1 of 2)", 5 + 5 + 5 + 4, 0)]
