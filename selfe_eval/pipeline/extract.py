"""The features of a run's images: computed once for each image and extractor, kept batch by batch.

A batch's file belongs to the bytes of its images. Where one of them has changed, or has been added, the features of
the batch are computed again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from selfe_eval.errors import UntrustworthyError
from selfe_eval.pipeline.plan import Batch, batches
from selfe_eval.pipeline.read_ahead import MAX_PIXELS, Tray
from selfe_eval.records import ImageKey
from selfe_eval.runs import layout
from selfe_eval.runs.atomic import atomic_write_json
from selfe_eval.runs.images import ImageRecord, read_images
from selfe_eval.runs.run import Run, RunRecord, open_run
from selfe_eval.score.detectors.protocol import RgbImages
from selfe_eval.score.features.protocol import Extractor, extractor_id
from selfe_eval.score.features.store import FeatureFiles, stored_features, stored_hashes, write_features

BATCH_SIZE = 64
"""Images whose features are computed together and kept in one file."""


def extractor_folder(run: Run, extractor: Extractor) -> Path:
    """Where the features of this extractor lie."""
    return layout.features_folder(run.folder, extractor.name, extractor_id(extractor))


def features_at(run: Run, extractor: Extractor, steps: int) -> tuple[list[ImageRecord], FeatureFiles]:
    """The images of one step count in the order of the plan, and their features in the same order.

    Raises:
        UntrustworthyError: there is no image, or features are missing or of other images.
    """
    images = read_images(run.images_file)
    found = {
        path: [images[key] for key in keys if key in images]
        for path, keys in feature_files(run.record, extractor_folder(run, extractor)).items()
        if keys[0].steps == steps
    }
    present = {path: records for path, records in found.items() if records}
    if not present:
        raise UntrustworthyError(
            f"{run.folder} has no image at {steps} steps, so there is nothing to measure."
        )
    files = stored_features({path: [image.sha256 for image in own] for path, own in present.items()})
    return [image for own in present.values() for image in own], files


class FeatureViewer:
    """Computes the features of the images it is shown, a file for each planned batch."""

    batch_size = BATCH_SIZE

    def __init__(self, run: Run, extractor: Extractor) -> None:
        self._extractor = extractor
        self._folder = extractor_folder(run, extractor)
        self._files = feature_files(run.record, self._folder)
        self._file_of = {key: path for path, keys in self._files.items() for key in keys}
        self._batch_of: dict[ImageKey, Batch] = {}
        self._waiting: dict[ImageKey, tuple[ImageRecord, NDArray[np.uint8]]] = {}
        self._features: dict[ImageKey, tuple[ImageRecord, NDArray[np.float32]]] = {}

    def prepare(self, images: Mapping[ImageKey, ImageRecord]) -> None:  # noqa: ARG002 - files say it themselves
        """Say what makes the features."""
        self._folder.mkdir(parents=True, exist_ok=True)
        atomic_write_json(self._folder / layout.EXTRACTOR_FILE, self._extractor.describe())

    def done(self, images: Mapping[ImageKey, ImageRecord]) -> Collection[ImageKey]:
        """The images of the batches whose file was made from them."""
        found: set[ImageKey] = set()
        for path, keys in self._files.items():
            present = [key for key in keys if key in images]
            if present and stored_hashes(path) == tuple(images[key].sha256 for key in present):
                found.update(present)
        return found

    def expect(self, missing: Sequence[Batch]) -> None:
        """A batch of which anything is missing is computed again whole."""
        self._batch_of = {key: batch for batch in missing for key in batch.keys}

    def see(self, tray: Tray) -> None:
        """Take the images in; compute once their batch is whole, or fills the memory it may take.

        Raises:
            UntrustworthyError: an image cannot be read, so the batch cannot become whole.
        """
        for unreadable in tray.unreadable:
            if unreadable.image.key in self._batch_of:
                raise UntrustworthyError(
                    f"{unreadable.image.path} has no features: {unreadable.reason}. A distance or mean over what is left "
                    "would be another number. Draw it again (`selfe-eval resume`), or replace the file."
                )
        for stack in tray.stacks:
            for image, pixels in zip(stack.images, stack.pixels.pixels, strict=True):
                if image.key in self._batch_of:
                    self._take(image, pixels)

    def finish(self, run: Run) -> Run:
        """Wait for the other processes' files."""
        run.ranks.meet()
        return run if run.ranks.is_first else open_run(run.folder, run.ranks)

    def _take(self, image: ImageRecord, pixels: NDArray[np.uint8]) -> None:
        if sum(waiting.size for _, waiting in self._waiting.values()) + pixels.size > 3 * MAX_PIXELS:
            self._compute()
        self._waiting[image.key] = (image, pixels)
        batch = self._batch_of[image.key]
        if len(self._waiting) + len(self._features) == len(batch.keys):
            self._compute()
            self._keep(batch)

    def _compute(self) -> None:
        """The features of the images that wait, those of one size together."""
        by_shape: dict[tuple[int, ...], list[ImageKey]] = {}
        for key, (_, pixels) in self._waiting.items():
            by_shape.setdefault(pixels.shape, []).append(key)
        for keys in by_shape.values():
            stack = RgbImages(pixels=np.stack([self._waiting[key][1] for key in keys]))
            for key, vector in zip(keys, self._extractor.extract(stack), strict=True):
                self._features[key] = (self._waiting[key][0], vector)
        self._waiting.clear()

    def _keep(self, batch: Batch) -> None:
        own = [self._features[key] for key in batch.keys]
        vectors = np.stack([vector for _, vector in own])
        write_features(self._file_of[batch.keys[0]], vectors, [image.sha256 for image, _ in own])
        self._features.clear()


def feature_files(record: RunRecord, folder: Path) -> dict[Path, tuple[ImageKey, ...]]:
    """Every file of a run's features -> the images of its planned batch."""
    numbers: dict[int, int] = {}
    found = {}
    for batch in batches(record, BATCH_SIZE):
        number = numbers[batch.steps] = numbers.get(batch.steps, -1) + 1
        found[layout.features_path(folder, batch.steps, number)] = batch.keys
    return found
