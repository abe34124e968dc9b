"""WebDataset shards: tar files of KEY.jpg with KEY.txt, or KEY.json with a caption, read in place.

Each shard is listed once, by Python's tarfile: where its members lie, their captions, and the sizes in the pictures'
headers. The list is remembered with the shard's length and time of change. From then on a picture is one read at an offset:
any order, any start, any number of readers, and nothing is ever extracted. A shard that is cut off or damaged gives what
comes before the damage, which is named.

A member's key is its path up to the first dot of the file name, as in the webdataset package, but a sample's members need
not be neighbours. Compressed archives are refused: they cannot be read at an offset.
"""

from __future__ import annotations

import tarfile
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from selfe.data.captions import json_record, record_caption, text_caption
from selfe.data.decode import SUFFIXES, decode, picture_size
from selfe.data.index_file import Columns, Texts, index_path, recall, remember
from selfe.data.pictures import BrokenPictureError, Entry, NoPicturesError

MAX_CAPTION_BYTES = 1 << 20
"""A longer text or JSON member is no caption."""
BLOCK_BYTES = 512
"""A tar file is made of blocks of this size; a block of zeros ends it."""


class PictureShards:
    """Pictures in tar files; implements ``selfe.data.pictures.PictureSet``."""

    def __init__(self, shards: Sequence[_Shard]) -> None:
        """Hold the listed shards, one after the other."""
        self._shards = shards
        self._ends = list(accumulate(len(shard.names) for shard in shards))
        self._skipped = {name: reason for shard in shards for name, reason in shard.skipped.items()}

    @property
    def skipped(self) -> dict[str, str]:
        """What was left out, by name, with the reason; a damaged shard by its own name."""
        return self._skipped

    def __len__(self) -> int:
        return self._ends[-1]

    def entry(self, number: int) -> Entry:
        """Name (shard/key), caption and upright size of a picture."""
        shard, row = self._find(number)
        width, height = shard.sizes[row].tolist()
        return Entry(name=shard.name_of(row), width=width, height=height, caption=shard.captions[row])

    def read(self, number: int) -> NDArray[np.uint8]:
        """Decode a picture: (H, W, 3) uint8, RGB.

        Raises:
            BrokenPictureError: it cannot be decoded, or its shard is no longer there.
        """
        shard, row = self._find(number)
        name = shard.name_of(row)
        offset, num_bytes = shard.places[row].tolist()
        try:
            with shard.path.open("rb", buffering=0) as file:
                file.seek(offset)
                content = file.read(num_bytes)
        except OSError as error:
            raise BrokenPictureError(f"{name}: {error}") from error
        return decode(content, name)

    def _find(self, number: int) -> tuple[_Shard, int]:
        which = bisect_right(self._ends, number)
        shard = self._shards[which]
        return shard, number - self._ends[which] + len(shard.names)


def open_shards(paths: Sequence[Path], *, cache: Path) -> PictureShards:
    """The pictures of several tar files, in the order given.

    Raises:
        NoPicturesError: there is no usable picture in any of them.
    """
    pictures = PictureShards([_shard(path, cache) for path in paths])
    if not len(pictures):
        raise NoPicturesError.of(paths[0].parent, pictures.skipped)
    return pictures


class _Shard(NamedTuple):
    """A tar file and the N pictures in it."""

    path: Path
    names: Texts
    captions: Texts
    places: NDArray[np.int64]
    """(N, 2): first byte and number of bytes."""
    sizes: NDArray[np.int64]
    """(N, 2): width and height."""
    skipped: dict[str, str]

    def name_of(self, row: int) -> str:
        return f"{self.path.name}/{self.names[row]}"


@dataclass(slots=True)
class _Listing:
    """What a walk through a tar file finds."""

    pictures: dict[str, tuple[str, int, int, int, int]] = field(default_factory=dict)
    """By key: member's name, first byte, number of bytes, width, height."""
    captions: dict[str, str] = field(default_factory=dict)
    """By key, from a text."""
    record_captions: dict[str, str] = field(default_factory=dict)
    """By key, from a JSON object: taken where there is no text."""
    no_captions: dict[str, str] = field(default_factory=dict)
    """By key: why a text or a JSON object gives no caption."""
    skipped: dict[str, str] = field(default_factory=dict)
    """By name: why a picture, or the rest of the shard, was left out."""


def _shard(path: Path, cache: Path) -> _Shard:
    """A tar file's list: the remembered one, or a new one if the file changed; an empty one if it is not there."""
    remembered = index_path(cache, path)
    try:
        status = path.stat()
    except OSError as error:
        return _from_columns(
            path, _columns(_Listing(skipped={path.name: f"{path.name}: {error}"}), path.name)
        )
    stamp = [status.st_size, status.st_mtime_ns]
    columns = recall(remembered)
    if columns is None or columns["stamp"].tolist() != stamp:
        columns = {"stamp": np.array(stamp), **_columns(_walk(path), path.name)}
        remember(remembered, columns)
    return _from_columns(path, columns)


def _from_columns(path: Path, columns: Columns) -> _Shard:
    skipped, reasons = _texts(columns, "skipped"), _texts(columns, "reason")
    return _Shard(
        path=path,
        names=_texts(columns, "name"),
        captions=_texts(columns, "caption"),
        places=columns["place"],
        sizes=columns["size"],
        skipped={skipped[i]: reasons[i] for i in range(len(skipped))},
    )


def _columns(listing: _Listing, shard: str) -> Columns:
    captions = listing.record_captions | listing.captions
    usable = [key for key in listing.pictures if key in captions]
    skipped = dict(listing.skipped)
    for key, (member, *_) in listing.pictures.items():
        if key not in captions:
            missing = f"expected a caption in {key}.txt or {key}.json, found neither"
            skipped[f"{shard}/{member}"] = f"{shard}/{member}: {listing.no_captions.get(key, missing)}"
    found = np.array([listing.pictures[key][1:] for key in usable], dtype=np.int64).reshape(-1, 4)
    texts = {
        "name": [listing.pictures[key][0] for key in usable],
        "caption": [captions[key] for key in usable],
        "skipped": list(skipped),
        "reason": list(skipped.values()),
    }
    columns: dict[str, NDArray[np.int64] | NDArray[np.uint8]] = {"place": found[:, :2], "size": found[:, 2:]}
    for column, values in texts.items():
        packed = Texts.of(values)
        columns |= {column: packed.content, f"{column}_end": packed.ends}
    return columns


def _texts(columns: Columns, column: str) -> Texts:
    return Texts(columns[column], columns[f"{column}_end"])


def _walk(path: Path) -> _Listing:
    """List a tar file from its first member to its end, or to where it is damaged."""
    listing = _Listing()
    try:
        with tarfile.open(path, "r:") as tar:
            for member in _members(tar, path):
                _note(listing, tar, member, path.name)
    except (tarfile.TarError, OSError, EOFError) as error:
        listing.skipped[path.name] = (
            f"{path.name}: the archive is damaged or cut off ({error}); "
            f"the {len(listing.pictures)} pictures before that are used"
        )
    return listing


def _members(tar: tarfile.TarFile, path: Path) -> Iterator[tarfile.TarInfo]:
    """The regular files of an archive.

    Raises:
        tarfile.ReadError: it does not end as archives do. tarfile itself takes any garbage for the end.
    """
    length = path.stat().st_size
    for member in tar:
        if member.offset_data + member.size > length:
            raise tarfile.ReadError(
                f"{member.name} ends at byte {member.offset_data + member.size} of {length}"
            )
        if member.isreg() and not member.issparse():
            yield member
    with path.open("rb") as file:
        file.seek(tar.offset)
        if file.read(BLOCK_BYTES) != bytes(BLOCK_BYTES):
            raise tarfile.ReadError(f"no member and no end of the archive at byte {tar.offset}")


def _note(listing: _Listing, tar: tarfile.TarFile, member: tarfile.TarInfo, shard: str) -> None:
    """Take down what a member is worth: a picture's place and size, or a caption."""
    key, suffix = _key(member.name)
    name = f"{shard}/{member.name}"
    if suffix in SUFFIXES and key not in listing.pictures:
        try:
            with _opened(tar, member) as file:
                size = picture_size(file, name)
            listing.pictures[key] = (member.name, member.offset_data, member.size, *size)
        except BrokenPictureError as error:
            listing.skipped[name] = str(error)
    elif suffix in {"txt", "json"}:
        try:
            content = _content(tar, member)
            if suffix == "txt":
                listing.captions[key] = text_caption(content, member.name)
            else:
                record = json_record(content, member.name)
                listing.record_captions[key] = record_caption(record, member.name)
        except BrokenPictureError as error:
            listing.no_captions[key] = str(error)


def _key(member: str) -> tuple[str, str]:
    """The key of a member's sample, and what the member is: a/b.c.JPG -> (a/b, c.jpg)."""
    path = PurePosixPath(member)
    stem, _, suffix = path.name.partition(".")
    return (path.parent / stem).as_posix(), suffix.lower()


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    if member.size > MAX_CAPTION_BYTES:
        raise BrokenPictureError(
            f"{member.name}: {member.size} bytes are no caption (at most {MAX_CAPTION_BYTES})"
        )
    with _opened(tar, member) as file:
        return file.read()


def _opened(tar: tarfile.TarFile, member: tarfile.TarInfo) -> BinaryIO:
    """A regular member as a file."""
    file = tar.extractfile(member)
    assert file is not None
    return cast(BinaryIO, file)
