"""Encode captioned pictures once, to train from: latents and text embeddings as shards (``selfe.data.latent_shards``).

The plan is a function of what is known of the pictures without decoding them: each goes to the bucket of its aspect ratio, and
a bucket's pictures are cut into shards in their order. A shard is a file that appears whole, with a JSON document beside it
that appears after it; a shard that has both is not made again, so the same command goes on after any interruption, and
several processes take a share of the shards each. Pictures that cannot be decoded are left out and named.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from selfe.autoencoder import patchify, to_unit_range
from selfe.buckets import Bucket, aspect_buckets, nearest
from selfe.data.encoded import fake_prompt
from selfe.data.fit import fit
from selfe.data.latent_shards import (
    FORMAT,
    MANIFEST_FILE,
    NULL_FILE,
    SETTINGS_FILE,
    packed,
    packed_rows,
    shard_name,
    write_shard,
)
from selfe.data.opening import open_pictures
from selfe.data.pictures import BrokenPictureError, Entry, NoPicturesError, PictureSet
from selfe.encoders.flux_autoencoder import FluxAutoencoder, FrozenAutoencoderConfig, find_autoencoder
from selfe.encoders.frozen_text import FoundText, FrozenText, find_text
from selfe.encoders.places import EncoderError, FrozenPart
from selfe.file_hash import sha256_of
from selfe.model import FrozenTextConfig
from selfe.training.trainer import Captioned
from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.ranks import ALONE, Ranks
from selfe_eval.runs.atomic import atomic_write_json

DTYPES = {"auto": None, "bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
"""What text encoders compute in; auto is bf16 on a GPU, fp32 elsewhere. Embeddings are stored as bfloat16 whatever it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeOptions:
    """What decides the content of the shards."""

    size_px: int = 256
    """Side of the square whose area all pictures get, a multiple of 16."""
    max_aspect: float = 2.0
    """Longest side through shortest, of the buckets; 1 leaves the square alone."""
    num_tokens: int = 256
    """T of T5: longer captions are cut, and named."""
    fake: bool = False
    """Whether captions with the phrase "fake image" are encoded too."""
    dtype: str = "auto"
    """A key of DTYPES."""
    rows_per_shard: int = 1024
    """Pictures in a shard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeJob:
    """What to encode, with what, and where to."""

    data: Path
    """A folder of pictures, or shards, as ``selfe.data.opening`` reads them."""
    out: Path
    """Folder of the shards."""
    t5: str
    """Directory or hub name."""
    clip: str
    """Directory or hub name."""
    autoencoder: str
    """Directory or hub name."""
    options: EncodeOptions
    """What decides the content."""
    device: str = "cpu"
    """A torch device."""
    batch_size: int = 32
    """Pictures that are encoded at a time."""
    num_threads: int = 4
    """Threads that decode pictures."""
    ranks: Ranks = ALONE
    """This process among those that share the work."""
    on_progress: Callable[[int, int], None] = field(default=lambda _done, _total: None)
    """Told the pictures that are done, of how many, in this process's share."""


class Encoders(NamedTuple):
    """The loaded encoders."""

    text: FrozenText
    coder: FluxAutoencoder
    settings: dict[str, Any]
    """What the folder says of them."""


class PlannedShard(NamedTuple):
    """A shard before it is made."""

    name: str
    bucket: Bucket
    numbers: list[int]


def encode(job: EncodeJob) -> dict[str, Any]:
    """Encode what is not there yet.

    Returns:
        The manifest.

    Raises:
        UsageError: an option, the data or an encoder is not usable, or the folder was begun otherwise.
        UntrustworthyError: not one picture could be encoded.
    """
    try:
        buckets = aspect_buckets(job.options.size_px, job.options.max_aspect)
    except ValueError as error:
        raise UsageError(f"--size or --max-aspect: {error}") from error
    try:
        found = _find(job)
        pictures = open_pictures(job.data, cache=job.out / "index")
        job.out.mkdir(parents=True, exist_ok=True)
        encoders = _load(job, *found)
    except (EncoderError, NoPicturesError) as error:
        raise UsageError(str(error)) from error
    entries = [pictures.entry(number) for number in range(len(pictures))]
    _settle(job, encoders, entries)
    shards = plan_shards(entries, buckets, job.options.rows_per_shard)
    own = job.ranks.share(shards)
    total, done = sum(len(shard.numbers) for shard in own), 0
    for shard in own:
        if _finished(job.out, shard.name) is None:
            _encode_shard(job, encoders, pictures, shard)
        done += len(shard.numbers)
        job.on_progress(done, total)
    job.ranks.meet()
    manifest = _manifest(job, pictures, shards)
    if job.ranks.is_first:
        atomic_write_json(job.out / MANIFEST_FILE, manifest)
    return manifest


def plan_shards(entries: list[Entry], buckets: tuple[Bucket, ...], rows_per_shard: int) -> list[PlannedShard]:
    """Which picture goes to which shard: by bucket, then in order."""
    by_bucket: dict[Bucket, list[int]] = {}
    for number, entry in enumerate(entries):
        bucket = nearest(buckets, width_px=entry.width, height_px=entry.height)
        by_bucket.setdefault(bucket, []).append(number)
    return [
        PlannedShard(
            shard_name(bucket.grid, start // rows_per_shard), bucket, numbers[start : start + rows_per_shard]
        )
        for bucket, numbers in sorted(by_bucket.items())
        for start in range(0, len(numbers), rows_per_shard)
    ]


def _find(job: EncodeJob) -> tuple[FoundText, FrozenPart]:
    """Text encoders and autoencoder, with their configurations; no weights yet."""
    text_config = FrozenTextConfig(t5=job.t5, clip=job.clip, num_tokens=job.options.num_tokens)
    return find_text(text_config), find_autoencoder(FrozenAutoencoderConfig(frozen=job.autoencoder))


def _load(job: EncodeJob, found_text: FoundText, found_coder: FrozenPart) -> Encoders:
    """Read the weights."""
    text = FrozenText(found_text, device=job.device, dtype=DTYPES[job.options.dtype])
    coder = FluxAutoencoder(found_coder, device=job.device)
    settings = {
        "text": {
            "t5": found_text.t5.place,
            "clip": found_text.clip.place,
            "num_tokens": job.options.num_tokens,
        },
        "autoencoder": {"frozen": found_coder.place},
        "encoders": {**text.files, **coder.files},
    }
    return Encoders(text, coder, settings)


def _settle(job: EncodeJob, encoders: Encoders, entries: list[Entry]) -> None:
    """Write down what the folder will hold, or compare with what it was begun with."""
    settings = {
        "format": FORMAT,
        **encoders.settings,
        **asdict(job.options),
        "dtype": str(encoders.text.dtype).removeprefix("torch."),
        "data": str(job.data.resolve()),
        "num_pictures": len(entries),
        "pictures_sha256": _digest(entries),
    }
    path = job.out / SETTINGS_FILE
    if job.ranks.is_first and not path.exists():
        write_shard(job.out / NULL_FILE, [packed(encoders.text([""]))])
        atomic_write_json(path, settings)
    job.ranks.meet()
    begun = _read_json(path) or {}
    places = {"data", "text", "autoencoder"}  # where things lie may change; their hashes may not
    changed = [name for name, value in settings.items() if name not in places and begun.get(name) != value]
    if changed:
        said = "; ".join(f"{name} was {begun.get(name)!r} and is {settings[name]!r}" for name in changed)
        raise UsageError(
            f"The folder {job.out} was begun with other settings: {said}. Go on with those, or give another --out."
        )


def _digest(entries: list[Entry]) -> str:
    """Of everything that is known of the pictures: the plan and the captions depend on nothing else."""
    digest = hashlib.sha256()
    for entry in entries:
        digest.update(json.dumps([entry.name, entry.width, entry.height, entry.caption]).encode())
    return digest.hexdigest()


def _encode_shard(job: EncodeJob, encoders: Encoders, pictures: PictureSet, shard: PlannedShard) -> None:
    skipped: dict[str, str] = {}
    names: list[str] = []
    captions: list[str] = []
    chunks = []
    with ThreadPoolExecutor(job.num_threads) as readers:
        rows = _readable(readers.map(partial(_pixels, pictures, shard.bucket), shard.numbers), skipped)
        for chunk in _chunked(rows, job.batch_size):
            texts = [entry.caption for entry, _ in chunk]
            chunks.append(_encoded(job, encoders, shard.bucket, np.stack([px for _, px in chunk]), texts))
            names += [entry.name for entry, _ in chunk]
            captions += texts
    cut = encoders.text.truncated(captions) if captions else []
    path = job.out / shard.name
    if chunks:
        write_shard(path, chunks)
    record = {
        "file": shard.name,
        "grid": list(shard.bucket.grid),
        "rows": len(names),
        "bytes": path.stat().st_size if chunks else 0,
        "sha256": sha256_of(path) if chunks else None,
        "skipped": skipped,
        "truncated": [name for name, is_cut in zip(names, cut, strict=True) if is_cut],
        "names": names,
        "captions": captions,
    }
    atomic_write_json(path.with_suffix(".json"), record)


def _pixels(
    pictures: PictureSet, bucket: Bucket, number: int
) -> tuple[Entry, NDArray[np.uint8] | BrokenPictureError]:
    """A picture (3, H, W) in the size of its bucket, or why there is none."""
    entry = pictures.entry(number)
    try:
        return entry, fit(pictures.read(number), bucket)
    except BrokenPictureError as error:
        return entry, error


def _readable(
    rows: Iterator[tuple[Entry, NDArray[np.uint8] | BrokenPictureError]], skipped: dict[str, str]
) -> Iterator[tuple[Entry, NDArray[np.uint8]]]:
    """The rows that have pixels; the others' names and reasons go to ``skipped``."""
    for entry, pixels in rows:
        if isinstance(pixels, BrokenPictureError):
            skipped[entry.name] = str(pixels)
        else:
            yield entry, pixels


def _chunked(
    rows: Iterator[tuple[Entry, NDArray[np.uint8]]], size: int
) -> Iterator[list[tuple[Entry, NDArray[np.uint8]]]]:
    chunk = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


@torch.inference_mode()
def _encoded(
    job: EncodeJob, encoders: Encoders, bucket: Bucket, pixels: NDArray[np.uint8], captions: list[str]
) -> dict[str, torch.Tensor]:
    latents = encoders.coder.encode(to_unit_range(torch.from_numpy(pixels).to(job.device)))
    fake = encoders.text([fake_prompt(caption) for caption in captions]) if job.options.fake else None
    return packed_rows(Captioned(patchify(latents), encoders.text(captions), bucket.grid, fake))


def _finished(out: Path, name: str) -> dict[str, Any] | None:
    """What is known of a shard that is there and whole."""
    path = out / name
    record = _read_json(path.with_suffix(".json"))
    if record is None or record.get("file") != name:
        return None
    if record["rows"] and not (path.is_file() and path.stat().st_size == record["bytes"]):
        return None
    return record


def _manifest(job: EncodeJob, pictures: PictureSet, shards: list[PlannedShard]) -> dict[str, Any]:
    records = [record for shard in shards if (record := _finished(job.out, shard.name)) is not None]
    skipped = {name: reason for record in records for name, reason in record["skipped"].items()}
    num_rows = sum(record["rows"] for record in records)
    if not num_rows:
        raise UntrustworthyError(
            f"Not one of {len(skipped)} pictures of {job.data} could be decoded, the first because "
            f"{next(iter(skipped.values()))}. Repair them, or name another folder."
        )
    return {
        "format": FORMAT,
        "rows": num_rows,
        "skipped": {**pictures.skipped, **skipped},
        "truncated": [name for record in records for name in record["truncated"]],
        "shards": [
            {name: record[name] for name in ("file", "grid", "rows", "bytes", "sha256")}
            for record in records
            if record["rows"]
        ],
    }


def _read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None where there is none that can be read."""
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None
