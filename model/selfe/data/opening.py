"""From a path to the pictures there: a folder with metadata, a folder with text files, or tar files."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from selfe.data.decode import SUFFIXES
from selfe.data.folder import METADATA_FILE, open_metadata_folder, open_text_folder
from selfe.data.pictures import NoPicturesError, PictureSet
from selfe.data.shards import open_shards


def open_pictures(path: Path, *, cache: Path) -> PictureSet:
    """Open training pictures by what lies at ``path``.

    In this order: ``metadata.jsonl`` in the folder; tar files in the folder, or ``path`` itself is one; pictures below the
    folder with text files beside them.

    Args:
        path: A folder, or one tar file. Nothing is written there.
        cache: Folder for what is learnt of the pictures (sizes, places); made if need be. A file in it is replaced in one
            step, so several processes may use it.

    Raises:
        NoPicturesError: there is nothing of that kind, or no usable picture in it.
    """
    if path.is_file() and path.suffix == ".tar":
        return open_shards([path], cache=cache)
    if (path / METADATA_FILE).is_file():
        return open_metadata_folder(path, cache=cache)
    shards = sorted(path.glob("*.tar"))
    if shards:
        return open_shards(shards, cache=cache)
    if any(found.suffix[1:].lower() in SUFFIXES for found in path.rglob("*")):
        return open_text_folder(path, cache=cache)
    raise NoPicturesError(
        f"Expected at {path} a folder with {METADATA_FILE}, tar files (WebDataset), or pictures "
        f"({', '.join(SUFFIXES)}) with text files beside them; found {_found(path)}. "
        "Name the folder that holds one of these itself; unpack compressed tar files first."
    )


def _found(path: Path) -> str:
    if not path.exists():
        return "nothing"
    if not path.is_dir():
        return "a file that is no .tar"
    names = sorted(islice((child.name for child in path.iterdir()), 5))
    return f"{', '.join(names)} and perhaps more" if names else "an empty folder"
