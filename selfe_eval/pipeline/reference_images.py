"""Images that a run's images are compared with: those of a folder, or of an earlier run, known by their content.

Every file is read once, without decoding its pixels: its hash identifies it, and its header says what it is. Names
and times decide nothing: a renamed file is the same image, and a changed one is another.

Lossy files are taken, since the references of published numbers are JPEG files (COCO), and are never taken in
silence: compression alone moves FID (clean-fid, arXiv 2104.11222: the quality of the JPEG files shows in it).
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from selfe_eval import provenance
from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.pipeline.plan import planned_keys
from selfe_eval.pipeline.progress import Progress
from selfe_eval.runs.images import read_images
from selfe_eval.runs.layout import SAMPLES_FOLDER
from selfe_eval.runs.run import Run, open_run
from selfe_eval.score.decode import UNREADABLE

MIN_IMAGES = 2
"""Fewer have no covariance."""

_LOSSLESS = frozenset({"BMP", "PNG", "PPM", "TIFF"})
_ACCEPTED = _LOSSLESS | {"JPEG", "WEBP"}
_BESIDE_IMAGES = frozenset({".csv", ".json", ".jsonl", ".md", ".txt"})
"""Files that describe images; any other file that is no image is a mistake."""
_TIFF_WITHOUT_LOSS = frozenset({"group3", "group4", "lzma", "packbits", "raw", "tiff_adobe_deflate", "tiff_ccitt",
                                "tiff_deflate", "tiff_lzw", "zstd"})  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAt:
    """A run at one of its step counts."""

    run: Run
    """The run."""
    steps: int
    """The step count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceImages:
    """Image files that a run's images are compared with."""

    title: str
    """What they are, for sentences."""
    paths: tuple[Path, ...]
    """(N,) the files, ascending by hash, so that names do not decide what is computed together."""
    image_sha256: tuple[str, ...]
    """(N,) of the files' bytes, ascending."""
    sizes: tuple[tuple[int, int], ...]
    """Every (width, height) that occurs, px, ascending."""
    notes: tuple[str, ...] = ()
    """What a reader of a number must know, in sentences."""
    run: RunAt | None = None
    """The run whose images they are."""

    @property
    def sha256(self) -> str:
        """Of the set of images: what identifies it."""
        return provenance.json_sha256({"images": list(self.image_sha256)})

    @property
    def num_images(self) -> int:
        """N."""
        return len(self.paths)

    def record(self) -> dict[str, object]:
        """What decides a number, for its protocol."""
        size = "{}x{}".format(*self.sizes[0]) if len(self.sizes) == 1 else "mixed"
        return {"sha256": self.sha256, "n": self.num_images, "size": size}


def folder_images(folder: Path, progress: Progress) -> ReferenceImages:
    """Every image of a folder and the folders in it.

    Args:
        folder: Holds images. Hidden files, descriptions (JSON, CSV, text) and the ``grid.png`` of the official layout are
            left aside.
        progress: Told about every file.

    Raises:
        UsageError: fewer than two images, or a file that is none.
    """
    title = f"the folder {folder.resolve().name!r}"
    return _images(title, tuple(_files(folder)), progress, where=folder)


def run_images(run_at: RunAt, progress: Progress) -> ReferenceImages:
    """The images of a run at one step count.

    Args:
        run_at: The run and the step count.
        progress: Told about every file.

    Raises:
        UntrustworthyError: planned images are missing, or a file is not the one that the run recorded.
        UsageError: fewer than two images, or a file that is none.
    """
    run, steps = run_at.run, run_at.steps
    images = read_images(run.images_file)
    planned = [key for key in planned_keys(run.record) if key.steps == steps]
    missing = [key for key in planned if key not in images]
    if missing:
        raise UntrustworthyError(
            f"The run {run.folder} cannot be a reference at {steps} steps: {len(missing)} of its {len(planned)} images "
            f"are missing. Finish it with `{run.resume_command}`, or take another step count with @STEPS."
        )
    recorded = {run.folder / images[key].path: images[key].sha256 for key in planned}
    title = f"the run {run.folder.resolve().name!r} at {steps} steps"
    partial = (
        f"The reference run is partial: {len(run.record.prompt_ids)} prompts." if run.record.partial else None
    )
    found = _images(title, tuple(recorded), progress, where=run.folder, run=run_at, partial=partial)
    changed = [
        path for path, sha256 in zip(found.paths, found.image_sha256, strict=True) if recorded[path] != sha256
    ]
    if changed:
        raise UntrustworthyError(
            f"{min(changed)} is not the image that the run recorded ({len(changed)} of {len(recorded)} files have another "
            f"hash than {run.images_file} says). Draw them again with `{run.resume_command}`, or give the folder of "
            "images itself."
        )
    return found


def run_at(typed: str) -> RunAt | None:
    """The run that ``RUN`` or ``RUN@STEPS`` names, by default at its largest step count; None where it names none.

    Raises:
        UsageError: the run has no such step count.
        UntrustworthyError: its ``run.json`` cannot be believed.
    """
    folder, _, behind = typed.rpartition("@")
    if Path(typed, "run.json").is_file():
        run = open_run(Path(typed))
        return RunAt(run=run, steps=max(run.spec.steps))
    if not folder or not Path(folder, "run.json").is_file():
        return None
    run = open_run(Path(folder))
    if not behind.isascii() or not behind.isdigit() or int(behind) not in run.spec.steps:
        known = ", ".join(map(str, run.spec.steps))
        raise UsageError(
            f"--reference {typed}: expected one of the run's step counts behind the @ ({known}), found {behind!r}."
        )
    return RunAt(run=run, steps=int(behind))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Surveyed:
    """What one reading of a file shows."""

    path: Path
    sha256: str
    size: tuple[int, int]
    kind: str
    """Its format, with ``lossy`` before it where pixels are not kept exactly."""


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        overview = path.name == "grid.png" and (path.parent / SAMPLES_FOLDER).is_dir()
        if not hidden and not overview and path.suffix.lower() not in _BESIDE_IMAGES and path.is_file():
            yield path


def _images(
    title: str,
    files: Sequence[Path],
    progress: Progress,
    *,
    where: Path,
    run: RunAt | None = None,
    partial: str | None = None,
) -> ReferenceImages:
    """Read all files, and refuse the set where one is no image or there are too few."""
    surveyed: list[_Surveyed] = []
    refused: list[str] = []
    with progress.stage("read reference", total=len(files), done=0) as advance:
        for path in files:
            try:
                surveyed.append(_surveyed(path))
            except UNREADABLE as error:
                refused.append(f"{path} ({error})")
            advance(1, "")
    if refused:
        raise UsageError(
            f"The reference {where} holds {len(refused)} of {len(files)} files that cannot be read as PNG, WebP, BMP, "
            f"TIFF, PPM or JPEG images, the first {refused[0]}. Remove them, or give the folder that holds images alone."
        )
    if len(surveyed) < MIN_IMAGES:
        raise UsageError(
            f"The reference {where} holds {len(surveyed)} images; expected a folder of at least {MIN_IMAGES} PNG, WebP, "
            "BMP, TIFF, PPM or JPEG files (as many as the run has images, better 5,000 and more)."
        )
    surveyed.sort(key=lambda one: (one.sha256, one.path))
    sizes = tuple(sorted({one.size for one in surveyed}))
    kinds = Counter(one.kind for one in surveyed)
    return ReferenceImages(
        title=title,
        paths=tuple(one.path for one in surveyed),
        image_sha256=tuple(one.sha256 for one in surveyed),
        sizes=sizes,
        notes=tuple(note for note in (partial, _loss_note(kinds), _size_note(sizes)) if note),
        run=run,
    )


def _surveyed(path: Path) -> _Surveyed:
    """Hash and header of a file. Raises one of UNREADABLE."""
    content = path.read_bytes()
    with Image.open(io.BytesIO(content)) as image:
        image_format, size = image.format or "", image.size
        compression = str(image.info.get("compression", "raw"))
    if image_format not in _ACCEPTED:
        raise ValueError(f"it is a {image_format} file")
    lossless = {
        "WEBP": b"VP8 " not in _webp_chunks(content),
        "TIFF": compression in _TIFF_WITHOUT_LOSS,
    }.get(image_format, image_format in _LOSSLESS)
    return _Surveyed(
        path=path,
        sha256=provenance.bytes_sha256(content),
        size=size,
        kind=image_format if lossless else f"lossy {image_format}",
    )


def _webp_chunks(content: bytes) -> set[bytes]:
    """The names of the chunks of a WebP file: ``VP8 `` holds lossy pixels, ``VP8L`` exact ones."""
    if content[8:12] != b"WEBP":
        return set()
    names, at = set(), 12
    while at + 8 <= len(content):
        names.add(content[at : at + 4])
        length = int.from_bytes(content[at + 4 : at + 8], "little")
        at += 8 + length + length % 2
    return names


def _loss_note(kinds: Counter[str]) -> str | None:
    lossy = {kind.removeprefix("lossy "): count for kind, count in kinds.items() if kind.startswith("lossy ")}
    if not lossy:
        return None
    total = kinds.total()
    named = " and ".join(f"{count} {kind}" for kind, count in sorted(lossy.items()))
    others = total - sum(lossy.values())
    mixed = (
        f", mixed with {others} lossless ones: a difference of files, not of images, is in the number"
        if others
        else ""
    )
    return (
        f"The reference has lossy files ({named} of {total}{mixed}); compression alone moves distances, so compare only "
        "with numbers against these very files."
    )


def _size_note(sizes: Sequence[tuple[int, int]]) -> str | None:
    if len(sizes) == 1:
        return None
    narrow, wide = (min(sizes, key=_area), max(sizes, key=_area))
    return (
        f"The reference has images of {len(sizes)} sizes, from {narrow[0]}x{narrow[1]} to {wide[0]}x{wide[1]} px; the "
        "extractor resizes each from its own size."
    )


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]
