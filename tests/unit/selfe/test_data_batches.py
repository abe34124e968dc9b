from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from selfe.buckets import Bucket, aspect_buckets
from selfe.data.batches import BatchOptions, PictureBatch, PictureBatches, Turn
from selfe.data.fit import fit
from selfe.data.folder import METADATA_FILE
from selfe.data.opening import open_pictures
from selfe.data.pictures import BrokenPictureError, Entry, NoPicturesError
from selfe.data.plan import BucketPlan
from selfe.data.skipped_file import add_skipped
from tests.unit.selfe.picture_files import encoded, metadata, write_files, write_shard

SQUARE, WIDE = Bucket(32, 32), Bucket(16, 48)
SMALL = Turn(buckets=(SQUARE, WIDE))
LARGE = Turn(buckets=(Bucket(64, 64),))


class Numbered:
    """Pictures of one color each: number n is grey n, square where n is even and wide where it is odd."""

    def __init__(self, count: int, broken: frozenset[int] = frozenset()) -> None:
        self.count = count
        self.broken = broken
        self.skipped = {"lost.png": "lost.png: there is no such file"}

    def __len__(self) -> int:
        return self.count

    def entry(self, number: int) -> Entry:
        width = 60 if number % 2 else 20
        return Entry(name=f"{number}.png", width=width, height=20, caption=str(number))

    def read(self, number: int) -> NDArray[np.uint8]:
        if number in self.broken:
            raise BrokenPictureError(f"{number}.png: broken")
        entry = self.entry(number)
        return np.full((entry.height, entry.width, 3), number, dtype=np.uint8)


def batches(
    pictures: Numbered, *turns: Turn, num_rows: int = 4, num_parts: int = 2, seed: int = 0, repeats: int = 1
) -> PictureBatches:
    options = BatchOptions(num_rows=num_rows, num_parts=num_parts, seed=seed, rows_per_caption=repeats)
    return PictureBatches(pictures, turns or (SMALL,), options)


def same(one: PictureBatch, other: PictureBatch) -> bool:
    return torch.equal(one.images, other.images) and one[1:] == other[1:]


# The plan


@given(
    counts=st.lists(st.integers(0, 12), min_size=1, max_size=4).filter(any),
    num_places=st.integers(1, 7),
    seed=st.integers(0, 3),
    num_parts=st.integers(1, 40),
)
@settings(max_examples=60)
def test_parts_take_each_buckets_places_one_after_the_other(
    counts: list[int], num_places: int, seed: int, num_parts: int
) -> None:
    """However many buckets and pictures: no place is left out or taken twice, and a part has one bucket."""
    plan = BucketPlan(counts, num_places=num_places, seed=seed)
    taken: dict[int, list[int]] = {bucket: [] for bucket in range(len(counts))}
    for number in range(num_parts):
        bucket, places = plan.part(number)
        assert len(places) == num_places
        taken[bucket].extend(places)

    for bucket, numbers in taken.items():
        assert sorted(numbers) == list(range(len(numbers))), bucket
        assert not numbers or counts[bucket] > 0


@given(count=st.integers(1, 30), seed=st.integers(0, 3), epoch=st.integers(0, 5))
@settings(max_examples=40)
def test_an_epoch_of_a_bucket_has_each_picture_once(count: int, seed: int, epoch: int) -> None:
    """The places of an epoch are a permutation of the bucket's pictures."""
    plan = BucketPlan([count], num_places=4, seed=seed)
    shown = [plan.picture(0, place) for place in range(epoch * count, (epoch + 1) * count)]

    assert sorted(shown) == list(range(count))


def test_every_epoch_has_another_order() -> None:
    """The places of the first three epochs of 30 pictures are three permutations."""
    plan = BucketPlan([30], num_places=4, seed=0)
    epochs = {tuple(plan.picture(0, epoch * 30 + place) for place in range(30)) for epoch in range(3)}

    assert len(epochs) == 3


def test_common_and_rare_buckets_are_trained_as_often_as_their_pictures() -> None:
    """With 90, 9 and 1 pictures and 4 in a part, 250 parts are 10 epochs: 225, 22 and 2 parts, one left open."""
    plan = BucketPlan([90, 9, 1], num_places=4, seed=0)
    parts = Counter(plan.part(number)[0] for number in range(249))

    assert parts == {0: 225, 1: 22, 2: 2}


def test_sizes_come_mixed() -> None:
    """Within an epoch the buckets take turns at random, in another order every epoch."""
    plan = BucketPlan([40, 40], num_places=2, seed=0)
    first, second = ([plan.part(number)[0] for number in range(start, start + 40)] for start in (0, 40))

    assert sorted(first) == sorted(second) == [0] * 20 + [1] * 20
    assert sorted(first) != first != second


def test_a_plan_needs_pictures_and_places() -> None:
    """Nothing to plan is an error that says so."""
    with pytest.raises(ValueError, match="0 pictures"):
        BucketPlan([0, 0], num_places=4, seed=0)
    with pytest.raises(ValueError, match="0 places"):
        BucketPlan([1], num_places=0, seed=0)


# Batches


def test_an_epoch_shows_every_picture_once_and_epochs_differ() -> None:
    """16 square and 16 wide pictures in parts of 4: 8 parts are an epoch, each of one size, in another order every time."""
    source = batches(Numbered(32))
    epochs = []
    for epoch in range(3):
        shown = [source.at(epoch * 4 + step, part) for step in range(4) for part in range(2)]
        assert {batch.images.shape[2:] for batch in shown} == {(32, 32), (16, 48)}
        captions = [caption for batch in shown for caption in batch.captions]
        assert sorted(map(int, captions)) == list(range(32))
        epochs.append(captions)

    squares = {tuple(caption for caption in captions if int(caption) % 2 == 0) for captions in epochs}
    assert len(squares) == 3
    assert batches(Numbered(32), seed=1).at(0, 0).captions != source.at(0, 0).captions


def test_the_remainder_of_an_epoch_is_carried_into_the_next() -> None:
    """19 pictures in parts of 4: after 5 parts one has been shown twice, after 19 parts each four times."""
    source = batches(Numbered(19), Turn(buckets=(SQUARE,)), num_parts=1)
    shown = [Counter(source.at(step, 0).captions) for step in range(19)]

    assert Counter(sum(shown[:5], Counter()).values()) == {1: 18, 2: 1}
    assert set(sum(shown, Counter()).values()) == {4}


def test_rows_pictures_and_captions_belong_together() -> None:
    """Each row is its caption's picture, on the grid of its bucket: 16 px a token."""
    source = batches(Numbered(32))
    for step in range(4):
        batch = source.at(step, 1)
        assert batch.images.dtype == torch.uint8
        assert [int(image.unique()) for image in batch.images] == [int(caption) for caption in batch.captions]
        assert batch.grid == (batch.images.shape[2] // 16, batch.images.shape[3] // 16)


def test_any_part_can_be_asked_for_at_any_time() -> None:
    """Backwards, twice, in threads, from a new object: (step, part) alone decides, so a resumed run reads what it would have."""
    source = batches(Numbered(37, frozenset({3, 4})), SMALL, LARGE)
    keys = [(step, part) for step in range(9) for part in range(2)]
    forwards = {key: source.at(*key) for key in keys}
    fresh = batches(Numbered(37, frozenset({3, 4})), SMALL, LARGE)
    with ThreadPoolExecutor(3) as threads:
        for key in reversed(keys):
            assert same(fresh.at(*key, mapper=threads.map), forwards[key])


def test_the_processes_together_read_what_one_process_reads() -> None:
    """The parts r::R over all processes r of R = 1, 2, 4 are the same rows, every step."""
    whole = batches(Numbered(50), num_parts=4)
    alone = [[whole.at(step, part) for part in range(4)] for step in range(5)]
    for num_ranks in (2, 4):
        for rank in range(num_ranks):
            own = batches(Numbered(50), num_parts=4)
            for step in range(5):
                for part in range(rank, 4, num_ranks):
                    assert same(own.at(step, part), alone[step][part])


def test_turns_take_steps_in_their_shares_and_each_goes_through_all_pictures() -> None:
    """Two steps at 32 px, one at 64 px, and so on; each turn has an order of pictures of its own without gaps."""
    two_small = Turn(buckets=(SQUARE,), num_steps=2)
    source = batches(Numbered(16), two_small, LARGE)
    shown = [(step, source.at(step, part)) for step in range(6) for part in range(2)]
    sides = [batch.images.shape[2] for _, batch in shown]

    assert sides == [32, 32, 32, 32, 64, 64] * 2
    for side, steps in ((32, (0, 1)), (32, (3, 4)), (64, (2, 5))):
        epoch = [(batch, caption) for step, batch in shown if step in steps for caption in batch.captions]
        assert {batch.images.shape[2] for batch, _ in epoch} == {side}
        assert sorted(int(caption) for _, caption in epoch) == list(range(16))


def test_rows_that_share_a_caption_are_neighbours() -> None:
    """With three rows a caption, a part of six shows two pictures, three times each."""
    source = batches(Numbered(24), num_rows=6, repeats=3)
    batch = source.at(0, 0)

    assert len(batch.images) == 6
    assert batch.captions == [batch.captions[0]] * 3 + [batch.captions[3]] * 3
    assert batch.captions[0] != batch.captions[3]
    assert [int(image.unique()) for image in batch.images] == [int(caption) for caption in batch.captions]
    with pytest.raises(ValueError, match="6 rows cannot hold whole groups of 4"):
        batches(Numbered(24), num_rows=6, repeats=4)


def test_a_broken_picture_gives_its_place_to_the_next_of_its_bucket() -> None:
    """All other rows stay as they are; the substitute is the picture that stands next in the plan; the broken one is named."""
    broken = frozenset({6, 12, 13})
    good, bad = batches(Numbered(32)), batches(Numbered(32, broken))
    order: dict[bool, list[str]] = {True: [], False: []}
    for step in range(4):
        for part in range(2):
            batch = good.at(step, part)
            order[batch.images.shape[2] == 32].extend(batch.captions)
    replaced = 0
    for step in range(4):
        for part in range(2):
            was, now = good.at(step, part), bad.at(step, part)
            captions = order[was.images.shape[2] == 32]
            for before, after in zip(was.captions, now.captions, strict=True):
                place = captions.index(before)
                following = captions[place:] + captions[:place]
                assert after == next(caption for caption in following if int(caption) not in broken)
                replaced += before != after
            assert [int(image.unique()) for image in now.images] == [int(caption) for caption in now.captions]

    assert replaced == 3
    assert set(bad.skipped) == {"lost.png", "6.png", "12.png", "13.png"}
    assert bad.skipped["6.png"] == "6.png: broken"


def test_a_bucket_of_broken_pictures_alone_is_an_error() -> None:
    """There is nothing to put in their place: the size, the number and a reason are named."""
    source = batches(Numbered(7, frozenset(range(7))), Turn(buckets=(WIDE,)))
    with pytest.raises(NoPicturesError, match=r"All 7 pictures that go to 16 x 48 px .*: broken"):
        source.at(0, 1)


def test_batches_say_what_they_cannot_be() -> None:
    """No sizes, and a part beyond the batch, are errors instead of other data."""
    with pytest.raises(ValueError, match="one turn or more"):
        PictureBatches(Numbered(4), [], BatchOptions(num_rows=4, num_parts=1, seed=0))
    with pytest.raises(ValueError, match="parts 0 to 1; got part 2"):
        batches(Numbered(4)).at(0, 2)


def test_a_folder_and_a_shard_of_the_same_files_give_the_same_batches(tmp_path: Path) -> None:
    """From files to rows: the order depends on the number of pictures, the rows on their content alone."""
    files = {f"{n}.png": encoded(f"rgb({n}, 0, 0)", (20, 20 + n)) for n in range(12)}
    captions = {name: f"picture {name}" for name in files}
    write_files(tmp_path / "folder", {**files, METADATA_FILE: metadata(captions)})
    texts = {name.replace("png", "txt"): caption.encode() for name, caption in captions.items()}
    write_shard(tmp_path / "s.tar", files | texts)
    options = BatchOptions(num_rows=4, num_parts=1, seed=0)
    turns = [Turn(buckets=aspect_buckets(32))]
    one, other = (
        PictureBatches(open_pictures(tmp_path / name, cache=tmp_path / "cache"), turns, options)
        for name in ("folder", "s.tar")
    )

    assert all(same(one.at(step, 0), other.at(step, 0)) for step in range(6))


# Fitting


def test_a_picture_of_the_buckets_size_stays_as_it_is() -> None:
    """Nothing is resampled where nothing needs to be."""
    picture = np.random.default_rng(0).integers(0, 256, (16, 48, 3), dtype=np.uint8)

    assert np.array_equal(fit(picture, WIDE), picture.transpose(2, 0, 1))


@pytest.mark.parametrize("shape", [(100, 700), (700, 100), (20, 36), (64, 64)])
def test_the_middle_of_a_picture_fills_the_bucket(shape: tuple[int, int]) -> None:
    """A gradient along each axis keeps its middle value at the middle, its slope is that of the cover, and no edge is padded."""
    height, width = shape
    across = np.linspace(50, 200, width).round()[None, :].repeat(height, 0)
    down = np.linspace(50, 200, height).round()[:, None].repeat(width, 1)
    picture = np.stack([across, down, np.full(shape, 77.0)], axis=2).astype(np.uint8)
    fitted = fit(picture, SQUARE).astype(float)

    assert fitted.shape == (3, 32, 32)
    assert np.array_equal(fitted[2], np.full((32, 32), 77.0))
    shorter = min(shape)
    for channel, size, axis in ((0, width, 1), (1, height, 0)):
        profile = fitted[channel].mean(axis=1 - axis)
        assert abs(profile.mean() - 125) < 1.5
        kept = 150 * shorter / size  # what the cover shows of the range 50 to 200
        assert abs((profile[-4:].mean() - profile[:4].mean()) - kept * 28 / 32) < 0.12 * kept + 2


def test_shrinking_averages() -> None:
    """A chessboard of single pixels becomes grey when it is shrunk eight times: no aliasing."""
    chess = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8)
    fitted = fit(np.stack([chess] * 3, axis=2), SQUARE)

    assert fitted.min() >= 120
    assert fitted.max() <= 135


# What was left out


def test_the_file_of_skipped_pictures_grows_and_forgets_nothing(tmp_path: Path) -> None:
    """Each name once with its latest reason, sorted, any letters; what an earlier process met stays; no file for nothing."""
    path = tmp_path / "skipped.jsonl"
    assert add_skipped(path, {}) == 0
    assert not path.exists()
    assert add_skipped(path, {"é\n.png": "cut off", "b.png": "empty"}) == 2
    assert add_skipped(path, {"a.png": "gone", "b.png": "still empty"}) == 3
    records = [json.loads(line) for line in path.read_text().splitlines()]

    assert records == [
        {"name": "a.png", "reason": "gone"},
        {"name": "b.png", "reason": "still empty"},
        {"name": "é\n.png", "reason": "cut off"},
    ]
