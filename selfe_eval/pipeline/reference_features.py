"""The features of a reference: computed once for each content and extractor, kept for all runs of this user.

    <cache>/features/inception-0a1b2c3d/<hash of the reference>/00000.safetensors

The cache is ``$SELFE_EVAL_CACHE``, else ``selfe-eval`` in ``$XDG_CACHE_HOME`` or ``~/.cache``. Its keys are hashes of
contents: no name, path or time can give the features of other images. A block of images is one file, so that an
interrupted computation goes on and memory does not grow with the number of images; a damaged file is computed again.
Anything in it may be deleted at any time but while it is in use.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selfe_eval.errors import UntrustworthyError
from selfe_eval.pipeline.extract import BATCH_SIZE, features_at
from selfe_eval.pipeline.progress import Advance, Progress
from selfe_eval.pipeline.read_ahead import one_ahead, trays
from selfe_eval.pipeline.reference_images import ReferenceImages
from selfe_eval.pipeline.reference_world import ReferenceWorld, drawn_scenes
from selfe_eval.provenance import json_sha256
from selfe_eval.records import ImageKey
from selfe_eval.runs import layout
from selfe_eval.runs.images import ImageRecord
from selfe_eval.runs.scores import protocol_of
from selfe_eval.score.detectors.protocol import RgbImages
from selfe_eval.score.features.protocol import Extractor
from selfe_eval.score.features.store import FeatureFiles, stored_features, stored_hashes, write_features

BLOCK = 1024
"""Images of a file of the cache: at 2048 numbers an image, 8 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceFeatures:
    """The features of all images of a reference."""

    rows: FeatureFiles
    """(N, d), read where they are asked for."""
    notices: tuple[str, ...] = ()
    """What the person at the terminal should know; nothing that changes a number."""


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Where this user's computed features are kept; None where the system knows no home of the user.

    Args:
        environment: Environment variables.

    >>> cache_folder({"SELFE_EVAL_CACHE": "/big/disk"}).as_posix()
    '/big/disk'
    """
    if own := environment.get("SELFE_EVAL_CACHE"):
        return Path(own)
    if shared := environment.get("XDG_CACHE_HOME"):
        return Path(shared, "selfe-eval")
    with contextlib.suppress(RuntimeError):
        return Path.home() / ".cache" / "selfe-eval"
    return None


def reference_features(
    reference: ReferenceImages | ReferenceWorld,
    extractor: Extractor,
    progress: Progress,
) -> ReferenceFeatures:
    """The features of a reference, from the run or the cache that has them, else computed and kept.

    Args:
        reference: Images.
        extractor: What makes the features.
        progress: Told about every batch of images.

    Raises:
        UntrustworthyError: an image cannot be decoded or has changed since it was read, or a feature is not finite.
    """
    if isinstance(reference, ReferenceImages) and reference.run is not None:
        with contextlib.suppress(UntrustworthyError):  # a run that lacks these features, or some of them
            return ReferenceFeatures(rows=features_at(reference.run.run, extractor, reference.run.steps)[1])
    cache = cache_folder()
    try:
        if cache is None:
            raise OSError("this user has no home folder")  # noqa: TRY301 - as good as one that cannot be written
        return ReferenceFeatures(rows=_kept_features(cache, reference, extractor, progress))
    except OSError as error:
        notice = (
            f"The features of {reference.title} cannot be kept ({error}): they are computed for this run alone. "
            "Set SELFE_EVAL_CACHE to a folder that can be written."
        )
    passing = Path(tempfile.mkdtemp(prefix="selfe-eval-"))
    atexit.register(shutil.rmtree, passing, ignore_errors=True)
    return ReferenceFeatures(rows=_kept_features(passing, reference, extractor, progress), notices=(notice,))


def _kept_features(
    cache: Path, reference: ReferenceImages | ReferenceWorld, extractor: Extractor, progress: Progress
) -> FeatureFiles:
    """Compute and write the blocks that are missing, then all of them. Raises OSError where they cannot be written."""
    hashes = _image_hashes(reference)
    folder = (
        layout.features_folder(cache, extractor.name, _cache_id(reference, extractor)) / reference.sha256[:32]
    )
    folder.mkdir(parents=True, exist_ok=True)
    parts = {folder / f"{number:05d}.safetensors": part for number, part in enumerate(_parts(reference))}
    missing = {path: part for path, part in parts.items() if not _is_there(path, hashes[part])}
    num_missing = sum(len(hashes[part]) for part in missing.values())
    title = f"reference ({extractor.name})"
    with progress.stage(title, total=len(hashes), done=len(hashes) - num_missing) as advance:
        for path, part in missing.items():
            vectors = _vectors(reference, part, extractor, advance)
            unfinished = path.with_name(
                f"{path.stem}.{os.getpid()}"
            )  # another process may be at the same work
            write_features(unfinished, vectors, hashes[part])
            unfinished.replace(path)
    return stored_features({path: hashes[part] for path, part in parts.items()})


def _cache_id(reference: ReferenceImages | ReferenceWorld, extractor: Extractor) -> str:
    """Of the extractor and of libraries: a run's numbers are not made with another release than the run says."""
    description = extractor.describe()
    drawn = reference.releases if isinstance(reference, ReferenceWorld) else {}
    releases = {**description.get("releases", {}), **drawn}
    return json_sha256({"extractor": protocol_of(description), "releases": releases})[:16]


def _is_there(path: Path, hashes: tuple[str, ...]) -> bool:
    try:
        return stored_hashes(path) == hashes
    except UntrustworthyError:
        return False


def _image_hashes(reference: ReferenceImages | ReferenceWorld) -> tuple[str, ...]:
    """(N,) what each image is known by."""
    if isinstance(reference, ReferenceImages):
        return reference.image_sha256
    sha256 = reference.sha256
    return tuple(f"{sha256}/{number}" for number in range(reference.num_images))


def _parts(reference: ReferenceImages | ReferenceWorld) -> list[slice]:
    """The images of each file: of the world one draw, of files a number of them."""
    if isinstance(reference, ReferenceWorld):
        total, size = reference.num_images, len(reference.prompts)
    else:
        total, size = reference.num_images, BLOCK
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]


def _vectors(
    reference: ReferenceImages | ReferenceWorld, part: slice, extractor: Extractor, advance: Advance
) -> NDArray[np.float32]:
    """The features of some of the images, in their order."""
    vectors = np.empty((part.stop - part.start, extractor.width), dtype=np.float32)
    seen = (
        _files_decoded(reference, part) if isinstance(reference, ReferenceImages) else _drawn(reference, part)
    )
    with contextlib.closing(one_ahead(seen)) as coming:
        for places, images in coming:
            vectors[places] = extractor.extract(images)
            advance(len(images), "")
            del images  # its pixels are gone before those of the next but one are made
    if not np.isfinite(vectors).all():
        raise UntrustworthyError(
            f"The extractor {extractor.name} gave features of {reference.title} that are not finite. Expected numbers of "
            "a sound network; try --device cpu, and look at the weights if it stays."
        )
    return vectors


def _files_decoded(reference: ReferenceImages, part: slice) -> Iterator[tuple[list[int], RgbImages]]:
    """Decoded images of one size, with their places in the part."""
    records = [
        ImageRecord(
            key=ImageKey(steps=0, prompt_id=place, image_index=0), path=str(path.absolute()), sha256=sha256
        )
        for place, (path, sha256) in enumerate(
            zip(reference.paths[part], reference.image_sha256[part], strict=True)
        )
    ]
    batches = [records[start : start + BATCH_SIZE] for start in range(0, len(records), BATCH_SIZE)]
    for tray in trays(Path(), batches):
        for unreadable in tray.unreadable:
            raise UntrustworthyError(
                f"{unreadable.image.path} of the reference cannot be used: {unreadable.reason}. A distance to what is left "
                "would be another number. Replace or remove the file."
            )
        for stack in tray.stacks:
            yield [image.key.prompt_id for image in stack.images], stack.pixels


def _drawn(world: ReferenceWorld, part: slice) -> Iterator[tuple[list[int], RgbImages]]:
    """The scenes of one draw, with their places in the part."""
    start = 0
    for images in drawn_scenes(world.prompts, part.start // len(world.prompts)):
        yield list(range(start, start + len(images))), images
        start += len(images)
