"""A folder of pictures with captions: ``metadata.jsonl`` (Hugging Face imagefolder), or NAME.txt beside NAME.jpg.

Nothing outside the folder is read, whatever the metadata or a link says. Sizes are read from the headers once and
remembered with each file's length and time of change. What cannot be used is left out, and named with its reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from selfe.data.captions import json_record, record_caption, text_caption
from selfe.data.decode import SUFFIXES, decode, picture_size
from selfe.data.index_file import Texts, index_path, recall, remember
from selfe.data.pictures import BrokenPictureError, Entry, NoPicturesError

METADATA_FILE = "metadata.jsonl"
"""One JSON object a line: "file_name" below the folder, and the caption under "text"."""


class PictureFolder:
    """Pictures below a folder; implements ``selfe.data.pictures.PictureSet``."""

    def __init__(
        self, root: Path, names: Texts, captions: Texts, sizes: NDArray[np.int64], skipped: dict[str, str]
    ) -> None:
        """Hold N names relative to ``root``, their captions and sizes (N, 2) as (width, height)."""
        self._root = root
        self._names = names
        self._captions = captions
        self._sizes = sizes
        self._skipped = skipped

    @property
    def skipped(self) -> dict[str, str]:
        """What was left out, by name, with the reason."""
        return self._skipped

    def __len__(self) -> int:
        return len(self._names)

    def entry(self, number: int) -> Entry:
        """Name, caption and upright size of a picture."""
        width, height = self._sizes[number].tolist()
        caption = self._captions[number]
        return Entry(name=self._names[number], width=width, height=height, caption=caption)

    def read(self, number: int) -> NDArray[np.uint8]:
        """Decode a picture: (H, W, 3) uint8, RGB.

        Raises:
            BrokenPictureError: it cannot be decoded, or is no longer there.
        """
        name = self._names[number]
        path = _inside(self._root, name)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise BrokenPictureError(f"{name}: {error}") from error
        return decode(content, name)


def open_metadata_folder(folder: Path, *, cache: Path) -> PictureFolder:
    """The pictures that ``metadata.jsonl`` lists, in its order.

    Raises:
        NoPicturesError: none of its lines gives a usable picture.
    """
    skipped: dict[str, str] = {}
    listed = []
    for number, line in enumerate((folder / METADATA_FILE).read_bytes().splitlines(), start=1):
        if not line.strip():
            continue
        place = f"{METADATA_FILE}:{number}"
        try:
            listed.append(_listed(line, place))
        except BrokenPictureError as error:
            skipped[place] = str(error)
    return _measured(folder, listed, skipped, cache)


def open_text_folder(folder: Path, *, cache: Path) -> PictureFolder:
    """The pictures below a folder that have a text file of their name beside them, sorted by name.

    Raises:
        NoPicturesError: there is none.
    """
    skipped: dict[str, str] = {}
    listed = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix[1:].lower() in SUFFIXES):
        name = path.relative_to(folder).as_posix()
        beside = PurePosixPath(name).with_suffix(".txt").as_posix()
        try:
            listed.append((name, text_caption(_content(folder, beside), name)))
        except BrokenPictureError as error:
            skipped[name] = str(error)
    return _measured(folder, listed, skipped, cache)


def _content(folder: Path, name: str) -> bytes:
    try:
        return _inside(folder.resolve(), name).read_bytes()
    except OSError as error:
        raise BrokenPictureError(f"{name}: {error}") from error


def _listed(line: bytes, place: str) -> tuple[str, str]:
    """The name and the caption that a line of metadata gives."""
    record = json_record(line, place)
    name = record.get("file_name")
    if not isinstance(name, str) or not name:
        raise BrokenPictureError(
            f"{place}: expected a path in 'file_name', found {name!r} in the columns {sorted(record)}"
        )
    return name, record_caption(record, f"{place} ({name})")


def _measured(
    folder: Path, listed: Iterable[tuple[str, str]], skipped: dict[str, str], cache: Path
) -> PictureFolder:
    """Find the sizes of the listed pictures, in the index or in their headers."""
    root = folder.resolve()
    remembered = index_path(cache, root)
    known = _known_sizes(remembered)
    names, captions, stamps, sizes = [], [], [], []
    for name, caption in listed:
        try:
            path = _inside(root, name)
            stamp = _stamp(path)
            size = known.get((name, *stamp)) or _size(path, name)
        except BrokenPictureError as error:
            skipped[name] = str(error)
            continue
        names.append(name)
        captions.append(caption)
        stamps.append(stamp)
        sizes.append(size)
    if not names:
        raise NoPicturesError.of(folder, skipped)
    packed, table = Texts.of(names), np.array(sizes, dtype=np.int64)
    if set(known) != {(name, *stamp) for name, stamp in zip(names, stamps, strict=True)}:
        stamped = np.array(stamps, dtype=np.int64)
        remember(remembered, {"name": packed.content, "end": packed.ends, "stamp": stamped, "size": table})
    return PictureFolder(root, packed, Texts.of(captions), table, skipped)


def _known_sizes(path: Path) -> dict[tuple[str, int, int], tuple[int, int]]:
    """(width, height) by (name, bytes, time of change in nanoseconds)."""
    columns = recall(path)
    if columns is None:
        return {}
    names = Texts(columns["name"], columns["end"])
    stamps, sizes = columns["stamp"].tolist(), columns["size"].tolist()
    return {(names[i], *stamps[i]): tuple(sizes[i]) for i in range(len(names))}


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _size(path: Path, name: str) -> tuple[int, int]:
    try:
        with path.open("rb") as file:
            return picture_size(file, name)
    except OSError as error:
        raise BrokenPictureError(f"{name}: {error}") from error


def _inside(root: Path, name: str) -> Path:
    """The file of this name, which must lie below ``root`` with all links followed.

    Raises:
        BrokenPictureError: it does not, or there is no such file.
    """
    outside = BrokenPictureError(f"{name}: it lies outside the folder; only files below it are read")
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise outside
    try:
        path = (root / name).resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise BrokenPictureError(
            f"{name}: there is no such file ({type(error).__name__}: {error})"
        ) from error
    if not path.is_relative_to(root):
        raise outside
    if not path.is_file():
        raise BrokenPictureError(f"{name}: it is not a file")
    return path
