"""Stage two: draw the images that are missing. Reads ``run.json``, writes ``images/`` and ``images.jsonl``.

A batch of which any image is missing (no record, no file, or a file of another hash) is drawn again whole, so
that the bits come out equal; images that are there are compared with the new ones, and only missing records
are appended. The files of a batch are in place before its records are, so a record never speaks of an image
that is not there.

Where several processes share the job, each draws its share of the batches that are missing; the first one decides
which those are.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from selfe_eval import provenance
from selfe_eval.errors import UntrustworthyError
from selfe_eval.generate.contract import checked_images, stated_description, stated_nfe
from selfe_eval.generate.protocol import Generator
from selfe_eval.pipeline.plan import Batch, batches
from selfe_eval.pipeline.progress import Progress
from selfe_eval.pipeline.share import missing_batches, stage_of_share
from selfe_eval.records import ImageKey, Prompt, Suite
from selfe_eval.runs import layout
from selfe_eval.runs.atomic import atomic_write
from selfe_eval.runs.images import ImageRecord, read_images
from selfe_eval.runs.journal import append_records
from selfe_eval.runs.run import Run
from selfe_eval.runs.shards import gather
from selfe_eval.score.detectors.protocol import RgbImages
from selfe_eval.seeds import image_seed

FirstLook = Callable[[RgbImages, Sequence[Prompt]], object]
"""Sees the first image of a run and its prompt; raises where it cannot judge such images."""

_PNG_LEVEL = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """One image of a batch, encoded."""

    record: ImageRecord
    content: bytes


def generate(
    run: Run,
    suite: Suite,
    load_generator: Callable[[], Generator],
    progress: Progress,
    first_look: FirstLook | None = None,
) -> Run:
    """Draw what is missing.

    Args:
        run: The run; the caller holds its lock.
        suite: The run's suite.
        load_generator: Called only where something is missing.
        progress: Told about every batch.
        first_look: Whoever will judge the images, so that images it does not take are refused at the first one.

    Returns:
        The run, with the generator's description in its record.

    Raises:
        UntrustworthyError: an image comes out differently than its record says, or the generator breaks its protocol.
        UsageError: ``first_look`` does not take such images.
        OSError: the disk is full or not writable; every whole batch is kept.
    """
    prompts = {prompt.prompt_id: prompt for prompt in suite.prompts}
    if run.ranks.is_first:
        _write_metadata(run, prompts)
    records = read_images(run.images_file)
    planned = batches(run.record, run.spec.batch_size)
    intact = intact_keys(run.folder, records) if run.ranks.is_first else set()
    missing = missing_batches(run.ranks, planned, intact)
    with stage_of_share("generate", progress, run.ranks, planned, missing) as advance:
        if not missing:
            return run
        share = run.ranks.share(missing)
        if share:
            generator = load_generator()
            run = run.update(
                status="started",
                generator=stated_description(generator),
                nfe=_stated_nfes(generator, run.spec.steps),
                attempts=(
                    *run.record.attempts,
                    provenance.attempt(stage="generate", processes=run.ranks.count),
                ),
            )
            warm_up = _warm_up_batch(share)
            for batch in share:
                pixels, seconds = _pixels(run, batch, prompts, generator)
                if first_look is not None and not records and batch is share[0]:
                    first_look(RgbImages(pixels=pixels[:1]), [prompts[batch.keys[0].prompt_id]])
                drawn = _drawn(run, batch, pixels, seconds if batch is not warm_up else None)
                _keep(run, drawn, records)
                advance(len(batch.keys), f"{batch.steps} steps")
    return gather(run, run.images_file, read_images)


def intact_keys(folder: Path, records: Mapping[ImageKey, ImageRecord]) -> set[ImageKey]:
    """The images whose file is there and has the hash of its record."""
    return {key for key, record in records.items() if file_hash(folder / record.path) == record.sha256}


def file_hash(path: Path) -> str | None:
    """SHA-256 of a file, or None where it cannot be read."""
    try:
        return provenance.file_sha256(path)
    except OSError:
        return None


def metadata_line(prompt: Prompt) -> bytes:
    """The content of a prompt folder's ``metadata.jsonl``, as the official generator writes it."""
    return json.dumps(prompt.metadata()).encode()


def _write_metadata(run: Run, prompts: Mapping[int, Prompt]) -> None:
    for steps in run.spec.steps:
        for prompt_id in run.record.prompt_ids:
            folder = run.folder / layout.prompt_folder(steps, prompt_id)
            (folder / layout.SAMPLES_FOLDER).mkdir(parents=True, exist_ok=True)
            path, content = folder / layout.METADATA_FILE, metadata_line(prompts[prompt_id])
            if not path.is_file() or path.read_bytes() != content:
                atomic_write(path, content)


def _stated_nfes(generator: Generator, step_counts: Sequence[int]) -> dict[int, int]:
    stated = {steps: stated_nfe(generator, steps) for steps in step_counts}
    return {steps: count for steps, count in stated.items() if count is not None}


def _warm_up_batch(share: Sequence[Batch]) -> Batch | None:
    """The first batch pays for caches and kernels; it is not timed where its step count has another one."""
    first = share[0]
    return first if sum(batch.steps == first.steps for batch in share) > 1 else None


def _pixels(
    run: Run, batch: Batch, prompts: Mapping[int, Prompt], generator: Generator
) -> tuple[NDArray[np.uint8], float]:
    """The images of a batch, and the seconds that each took."""
    texts = [prompts[key.prompt_id].text for key in batch.keys]
    start = time.perf_counter()
    made = generator.generate(texts, _seeds(run, batch), batch.steps)
    seconds = (time.perf_counter() - start) / len(batch.keys)
    return checked_images(generator, made, len(batch.keys)), round(seconds, 6)


def _seeds(run: Run, batch: Batch) -> list[int]:
    return [image_seed(run.spec.seed, key.prompt_id, key.image_index) for key in batch.keys]


def _drawn(run: Run, batch: Batch, pixels: NDArray[np.uint8], seconds: float | None) -> list[_Drawn]:
    """The images of a batch, encoded, with their records."""
    drawn = []
    for key, seed, image in zip(batch.keys, _seeds(run, batch), pixels, strict=True):
        content = _png(image)
        record = ImageRecord(
            key=key,
            path=str(layout.image_path(key)),
            sha256=provenance.bytes_sha256(content),
            seed=seed,
            seconds=seconds,
        )
        drawn.append(_Drawn(record=record, content=content))
    return drawn


def _keep(run: Run, drawn: Sequence[_Drawn], records: Mapping[ImageKey, ImageRecord]) -> None:
    for image in drawn:
        _refuse_another_image(run, image.record, records.get(image.record.key))
    for image in drawn:
        path = run.folder / image.record.path
        if file_hash(path) != image.record.sha256:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, image.content)
    append_records(
        run.own_shard(run.images_file), [i.record.as_json() for i in drawn if i.record.key not in records]
    )


def _refuse_another_image(run: Run, new: ImageRecord, old: ImageRecord | None) -> None:
    if old is None or old.sha256 == new.sha256:
        return
    raise UntrustworthyError(
        f"{new.path} was drawn again because a file of its batch was missing or changed, and came out "
        f"differently: expected SHA-256 {old.sha256} from {run.images_file}, found {new.sha256}. Another "
        "device, torch version or number of threads draws other bits (see 'attempts' and 'generator' in "
        "run.json). Nothing was overwritten: resume where the run began, or start a new run with --out."
    )


def _png(image: NDArray[np.uint8]) -> bytes:
    """The same pixels give the same bytes: fixed compression, no metadata."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="PNG", compress_level=_PNG_LEVEL)
    return stream.getvalue()
