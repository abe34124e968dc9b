"""Which pictures a part of a batch shows: arithmetic on numbers, so that any part can be asked for at any time.

A bucket is an endless row of places: its pictures in a random order, then in another random order, and so on. A part takes
the next ``num_places`` places of one bucket. So every picture has its turn once an epoch, and the remainder of a bucket that
fills no part is carried into the next epoch, not dropped: rare sizes are trained as often as common ones. The buckets of an
epoch's parts are in random order too. Access to the files is therefore random, within and across shards.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from selfe.training.loop import step_generator


class BucketPlan:
    """Parts by number, each of one bucket."""

    def __init__(self, counts: Sequence[int], *, num_places: int, seed: int) -> None:
        """Plan for ``counts[b]`` pictures in bucket b, ``num_places`` of one bucket in a part.

        Raises:
            ValueError: there is no picture, or no place.
        """
        if sum(counts) < 1 or num_places < 1:
            raise ValueError(
                f"A plan needs pictures and places; got {sum(counts)} pictures, {num_places} places a part."
            )
        self._counts = counts
        self._num_places = num_places
        self._seed = seed

    def part(self, number: int) -> tuple[int, range]:
        """The bucket of a part, and its places there."""
        highest = (number + len(self._counts)) * self._num_places // sum(self._counts) + 1
        epoch = bisect_right(range(highest + 1), number, key=self._parts_before) - 1
        buckets = self._buckets(epoch)
        index = number - self._parts_before(epoch)
        bucket = int(buckets[index])
        earlier = int((buckets[:index] == bucket).sum())
        first = (self._bucket_parts_before(bucket, epoch) + earlier) * self._num_places
        return bucket, range(first, first + self._num_places)

    def picture(self, bucket: int, place: int) -> int:
        """Which of a bucket's pictures stands at a place."""
        epoch, index = divmod(place, self._counts[bucket])
        return int(_shuffled(self._counts[bucket], self._seed, epoch, f"pictures of bucket {bucket}")[index])

    def _bucket_parts_before(self, bucket: int, epoch: int) -> int:
        return epoch * self._counts[bucket] // self._num_places

    def _parts_before(self, epoch: int) -> int:
        """Parts of all epochs before this one: those that their places fill."""
        return sum(self._bucket_parts_before(bucket, epoch) for bucket in range(len(self._counts)))

    def _buckets(self, epoch: int) -> Tensor:
        """The bucket of each part of an epoch."""
        num_parts = [
            self._bucket_parts_before(bucket, epoch + 1) - self._bucket_parts_before(bucket, epoch)
            for bucket in range(len(self._counts))
        ]
        in_order = torch.repeat_interleave(torch.tensor(num_parts))
        return in_order[_shuffled(len(in_order), self._seed, epoch, "buckets")]


@lru_cache(maxsize=256)
def _shuffled(count: int, seed: int, epoch: int, purpose: str) -> Tensor:
    return torch.randperm(count, generator=step_generator(seed, epoch, purpose=purpose))
