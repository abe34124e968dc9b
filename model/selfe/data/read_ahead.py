"""Batches of pictures made in threads, one part ahead of the one in use; the same batches as without."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from selfe.data.batches import PictureBatch, PictureBatches


class ReadAhead:
    """The parts that one process computes, with the next one under way."""

    def __init__(self, batches: PictureBatches, parts: Sequence[int], *, num_threads: int) -> None:
        """Expect ``parts`` of every step in this order; read with so many threads (Pillow decodes outside Python's lock)."""
        self._batches = batches
        self._parts = parts
        self._readers = ThreadPoolExecutor(num_threads, thread_name_prefix="pictures")
        self._assembler = ThreadPoolExecutor(1, thread_name_prefix="batch")
        self._coming: dict[tuple[int, int], Future[PictureBatch]] = {}

    def at(self, step: int, part: int) -> PictureBatch:
        """One part of the batch of a step; another than expected is made at once.

        Raises:
            NoPicturesError: every picture of the bucket is broken.
        """
        future = self._coming.pop((step, part), None) or self._begin(step, part)
        batch = future.result()
        following = self._after(step, part)
        self._coming = {following: self._begin(*following)}
        return batch

    def _begin(self, step: int, part: int) -> Future[PictureBatch]:
        return self._assembler.submit(self._batches.at, step, part, mapper=self._readers.map)

    def _after(self, step: int, part: int) -> tuple[int, int]:
        later = [other for other in self._parts if other > part]
        return (step, later[0]) if later else (step + 1, self._parts[0])
