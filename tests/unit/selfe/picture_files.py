"""Small picture files, folders and shards for the tests of training data."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

from PIL import Image


def encoded(color: str, size: tuple[int, int] = (8, 8), kind: str = "PNG") -> bytes:
    """A picture of one color, of a (width, height), as file content."""
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, kind)
    return file.getvalue()


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Files below a folder, by relative name."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def metadata(captions: Mapping[str, str]) -> bytes:
    """A metadata.jsonl that gives each file name its caption under "text"."""
    lines = [json.dumps({"file_name": name, "text": text}) for name, text in captions.items()]
    return ("\n".join(lines) + "\n").encode()


def write_shard(path: Path, members: Mapping[str, bytes]) -> Path:
    """A tar file of members in the order given."""
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path
