from __future__ import annotations

import contextlib
import gc
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from selfe_eval import provenance
from selfe_eval.pipeline import read_ahead
from selfe_eval.pipeline.read_ahead import one_ahead, trays
from selfe_eval.records import ImageKey
from selfe_eval.runs.images import ImageRecord

SMALL, LARGE = (10, 10), (10, 20)
"""(width, height) in pixels: 100 pixels, and 200."""


def images(folder: Path, *sizes: tuple[int, int]) -> list[ImageRecord]:
    """A batch of images of these sizes; all pixels of the n-th have the value n."""
    records = []
    for number, size in enumerate(sizes):
        path = folder / f"{number:04d}.png"
        Image.new("RGB", size, (number, number, number)).save(path)
        records.append(
            ImageRecord(
                key=ImageKey(steps=1, prompt_id=number, image_index=0),
                path=path.name,
                sha256=provenance.file_sha256(path),
            )
        )
    return records


def cut(folder: Path, *batches: list[ImageRecord]) -> list[list[list[int]]]:
    """Tray by tray and stack by stack, which images; each stack holds the pixels of its images."""
    found = []
    for tray in trays(folder, batches):
        for stack in tray.stacks:
            assert stack.pixels.pixels[:, 0, 0, 0].tolist() == [image.key.prompt_id for image in stack.images]
        found.append([[image.key.prompt_id for image in stack.images] for stack in tray.stacks])
    return found


def test_images_of_one_size_are_stacked(tmp_path: Path) -> None:
    """A batch is one tray, with one stack for each size, in the order in which the sizes occur."""
    batch = images(tmp_path, SMALL, LARGE, SMALL, LARGE)
    assert cut(tmp_path, batch[:2], batch) == [[[0], [1]], [[0, 2], [1, 3]]]


def test_a_tray_holds_a_bounded_number_of_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of large images is cut where the next image would be too many pixels, and only there."""
    monkeypatch.setattr(read_ahead, "MAX_PIXELS", 500)
    batch = images(tmp_path, SMALL, LARGE, LARGE, SMALL, SMALL, LARGE, LARGE)
    assert cut(tmp_path, batch) == [[[0], [1, 2]], [[3, 4], [5]], [[6]]]
    monkeypatch.setattr(read_ahead, "MAX_PIXELS", 50)
    assert cut(tmp_path, batch[:2]) == [[[0]], [[1]]]


def test_the_last_part_of_a_batch_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever collects the parts knows when a batch is whole, also where nothing of it can be read."""
    monkeypatch.setattr(read_ahead, "MAX_PIXELS", 200)
    batch = images(tmp_path, LARGE, LARGE)
    (tmp_path / "0001.png").unlink()
    found = list(trays(tmp_path, [batch, batch[1:], batch[:1] * 2]))
    assert [tray.ends_batch for tray in found] == [True, True, False, True]
    assert [len(tray.unreadable) for tray in found] == [1, 1, 0, 0]


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    """A missing file, a changed one and one that is no image each have their reason, and the hash found."""
    batch = images(tmp_path, SMALL, SMALL, SMALL)
    (tmp_path / "0000.png").unlink()
    (tmp_path / "0001.png").write_bytes(b"changed")
    (tmp_path / "0002.png").write_bytes(b"GIF89a")
    batch[2] = ImageRecord(key=batch[2].key, path="0002.png", sha256=provenance.bytes_sha256(b"GIF89a"))
    (tray,) = trays(tmp_path, [batch])
    assert [found.sha256 for found in tray.unreadable] == [
        None,
        provenance.bytes_sha256(b"changed"),
        batch[2].sha256,
    ]
    gone, changed, no_image = (found.reason for found in tray.unreadable)
    assert gone.startswith("the file cannot be read as an image (FileNotFoundError")
    assert changed.endswith(f"but its record says {batch[1].sha256}")
    assert no_image.startswith("the file cannot be read as an image (UnidentifiedImageError")


class Thing:
    """Can be referred to weakly."""


def test_one_is_made_ahead_and_no_more() -> None:
    """While one item is in use the next is made, and everything before is gone: memory does not grow."""
    alive: list[weakref.ref[Thing]] = []

    def make() -> Iterator[Thing]:
        for _ in range(20):
            thing = Thing()
            alive.append(weakref.ref(thing))
            yield thing
            del thing

    used = 0
    for thing in one_ahead(make()):
        used += 1
        del thing
        gc.collect()
        assert sum(reference() is not None for reference in alive) <= 2
        assert len(alive) <= used + 1
    assert used == 20


def test_the_next_item_is_made_while_this_one_is_in_use() -> None:
    """The work behind an item runs beside the work on the one before it."""
    begun = [threading.Event(), threading.Event()]

    def make() -> Iterator[int]:
        for number, event in enumerate(begun):
            event.set()
            yield number

    coming = one_ahead(make())
    assert next(coming) == 0
    assert begun[1].wait(timeout=60)
    assert list(coming) == [1]


def test_an_error_in_the_background_reaches_the_user_of_the_items() -> None:
    """What fails in the thread fails here, after the items before it, and the thread ends."""

    def make() -> Iterator[int]:
        yield 0
        raise OSError("gone")

    coming = one_ahead(make())
    assert next(coming) == 0
    with pytest.raises(OSError, match="gone"):
        next(coming)


def test_left_early_no_thread_stays() -> None:
    """Closed before the end, as by an error of the scorer, the background thread is gone."""
    before = threading.active_count()
    with contextlib.closing(one_ahead(iter(range(5)))) as coming:
        assert next(coming) == 0
    assert threading.active_count() == before


def test_decoded_pixels_do_not_pile_up(tmp_path: Path) -> None:
    """Over many batches at most two trays of pixels are alive: the one in use and the next."""
    batch = images(tmp_path, SMALL, SMALL)
    alive: list[weakref.ref[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]] = []
    for tray in one_ahead(trays(tmp_path, [batch] * 12)):
        alive.append(weakref.ref(tray.stacks[0].pixels.pixels))
        del tray
        gc.collect()
        assert sum(reference() is not None for reference in alive) <= 1
