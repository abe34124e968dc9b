"""Images that anybody made, in the official layout: find them, and say what the reference skips in silence.

    DIR/00000/metadata.jsonl        where it is there, it says which prompt this is; else the number does
    DIR/00000/samples/0000.png      any number of digits
    DIR/00000/grid.png              belongs to the layout, is not scored
    DIR/steps-004/00000/...         the same, once per step count, as in a run folder

The reference (djghosh13/geneval at af4902f, evaluate_images.py) walks whatever folders it finds, scores
whatever PNG it finds, and prints a mean: 544 prompts, three samples or a folder of JPEGs give a number like
any other. Here each planned image is there or is named as missing, and what is not scored is named with the
reason. Whether a file can be decoded is seen when it is scored.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.pipeline.generate import file_hash
from selfe_eval.records import ImageKey, Prompt, Suite
from selfe_eval.runs.atomic import atomic_write
from selfe_eval.runs.images import ImageRecord
from selfe_eval.runs.journal import journal_bytes
from selfe_eval.runs.layout import METADATA_FILE, SAMPLES_FOLDER
from selfe_eval.runs.run import Run
from selfe_eval.suites.rewritten import wordings

NO_STEPS = 0
"""Step count of images whose step count nobody said."""

MISSING_PROMPT = "missing: no image of this prompt"
MISSING_SAMPLE = "missing: a sample that other prompts have, or that was asked for"

_LAYOUT = frozenset({METADATA_FILE, SAMPLES_FOLDER, "grid.png"})
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SAMPLE_NAME = re.compile(r"(\d+)\.png")
_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WebP"}
_STEPS_NAME = re.compile(r"steps-(\d{3,})")
_NUM_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundImages:
    """What lies in a folder of images, against what a suite asks for."""

    folder: Path
    """The folder, absolute."""
    paths: Mapping[ImageKey, Path]
    """The images, in the order of their keys."""
    images_per_prompt: int
    """Asked for, or how many different sample numbers were found."""
    num_missing: int
    """Planned images that are not there."""
    findings: Mapping[str, tuple[str, ...]]
    """What is missing or not scored: reason -> entries, relative to the folder."""

    @property
    def steps(self) -> tuple[int, ...]:
        """The step counts found, ascending."""
        return tuple(sorted({key.steps for key in self.paths}))

    def report(self) -> list[str]:
        """The findings, one line for each reason, with their number and the first of them."""
        return _lines(self.findings)

    def refuse_incomplete(self) -> None:
        """Fail where planned images are missing.

        Raises:
            UntrustworthyError: with numbers, the first names, and what to do.
        """
        if not self.num_missing:
            return
        missing = {reason: self.findings.get(reason, ()) for reason in (MISSING_PROMPT, MISSING_SAMPLE)}
        names = "; ".join(_lines({reason: entries for reason, entries in missing.items() if entries}))
        raise UntrustworthyError(
            f"{self.folder} is incomplete: {self.num_missing} of {self.num_missing + len(self.paths)} images are "
            f"missing. {names}. The official scorer would print a number all the same; here nothing was scored. "
            "Add the images as PNG files named samples/0000.png and so on, say how many there should be with "
            "--images-per-prompt, or score what is there, stamped partial, with --allow-partial."
        )


def find_images(
    folder: Path, suite: Suite, *, steps: int = NO_STEPS, images_per_prompt: int | None = None
) -> FoundImages:
    """Look through a folder of images.

    Args:
        folder: In the official layout, with or without one folder per step count.
        suite: The prompts. A folder's ``metadata.jsonl`` may have the official wording of rewritten ones.
        steps: The step count of images that do not lie in a folder of their step count.
        images_per_prompt: How many each prompt should have; by default one of every sample number found.

    Raises:
        UsageError: the folder is missing or holds no image of the layout.
        UntrustworthyError: a ``metadata.jsonl`` is not the suite's, or two files claim one image.
    """
    if not folder.is_dir():
        raise UsageError(
            f"No folder of images at {folder}: expected one folder per prompt, as in "
            f"{folder}/00000/samples/0000.png."
        )
    search = _Search(root=folder, suite=suite)
    by_steps = sorted(
        entry for entry in folder.iterdir() if entry.is_dir() and _STEPS_NAME.fullmatch(entry.name)
    )
    for entry in by_steps:
        search.walk(entry, int(entry.name.removeprefix("steps-")))
    if by_steps:
        search.ignore_all("not a folder of a step count", except_for=by_steps)
    else:
        search.walk(folder, steps)
    if not search.samples:
        raise UsageError(
            f"{folder} holds no image in the official layout: expected PNG files such as "
            f"00000/samples/0000.png, found {'; '.join(_lines(search.ignored)) or 'nothing'}. JPEG and WebP files "
            "are not scored (compression changes what a detector sees): save the generator's output as PNG."
        )
    return search.found(images_per_prompt)


def record_images(run: Run, found: FoundImages) -> None:
    """Write ``images.jsonl`` for the images found, with their hashes as they are now."""
    records = [
        ImageRecord(key=key, path=str(path), sha256=file_hash(path) or "unreadable")
        for key, path in found.paths.items()
    ]
    content = journal_bytes(record.as_json() for record in records)
    if not run.images_file.is_file() or run.images_file.read_bytes() != content:
        atomic_write(run.images_file, content)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class _Sample:
    """Which image a file claims to be."""

    steps: int
    prompt_id: int
    number: int
    """As in the file name; the image index is its place among all numbers found."""


@dataclass(kw_only=True)
class _Search:
    """One walk through a folder, collecting what it meets."""

    root: Path
    suite: Suite
    samples: dict[_Sample, Path] = field(default_factory=dict)
    folders: dict[tuple[int, int], Path] = field(default_factory=dict)
    """(steps, prompt id) -> the prompt's folder."""
    walked: list[tuple[int, Path]] = field(default_factory=list)
    ignored: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.prompts = {prompt.prompt_id: prompt for prompt in self.suite.prompts}
        self.prompt_ids = {
            _canonical(prompt.metadata()): prompt.prompt_id
            for wording in wordings(self.suite)
            for prompt in wording
        }

    def walk(self, folder: Path, steps: int) -> None:
        """Look through the prompt folders of one step count.

        Where two folders are of one prompt, the one whose number is the prompt's counts.
        """
        self.walked.append((steps, folder))
        claims = [
            (entry, prompt_id)
            for entry in sorted(folder.iterdir())
            if (prompt_id := self._prompt_id(entry)) is not None
        ]
        for entry, prompt_id in sorted(claims, key=lambda claim: int(claim[0].name) != claim[1]):
            first = self.folders.setdefault((steps, prompt_id), entry)
            if first is entry:
                self._look_into(entry, steps, prompt_id)
            else:
                self._ignore(entry, "not counted: another folder is of the same prompt", as_well=first)

    def ignore_all(self, reason: str, *, except_for: list[Path]) -> None:
        """Note what lies beside the folders that were walked."""
        for entry in sorted(set(self.root.iterdir()) - set(except_for)):
            self._ignore(entry, reason)

    def found(self, images_per_prompt: int | None) -> FoundImages:
        """What was met, against what should be there."""
        numbers = _sample_numbers({sample.number for sample in self.samples}, images_per_prompt)
        index_of = {number: index for index, number in enumerate(numbers)}
        paths = {
            ImageKey(
                steps=sample.steps, prompt_id=sample.prompt_id, image_index=index_of[sample.number]
            ): path.resolve()
            for sample, path in sorted(self.samples.items())
            if sample.number in index_of
        }
        findings = {**self._missing(numbers), **self.ignored}
        for sample, path in self.samples.items():
            if sample.number not in index_of:
                findings.setdefault("more than --images-per-prompt", []).append(self._name(path))
        return FoundImages(
            folder=self.root.resolve(),
            paths=paths,
            images_per_prompt=len(numbers),
            num_missing=len(self.walked) * len(self.prompts) * len(numbers) - len(paths),
            findings={reason: tuple(entries) for reason, entries in findings.items()},
        )

    def _missing(self, numbers: list[int]) -> dict[str, list[str]]:
        """Prompts without an image, and samples that are missing from the others."""
        findings: dict[str, list[str]] = {}
        for steps, walked in self.walked:
            for prompt_id in self.prompts:
                folder = self.folders.get((steps, prompt_id), walked / f"{prompt_id:05d}")
                absent = [
                    number
                    for number in numbers
                    if _Sample(steps=steps, prompt_id=prompt_id, number=number) not in self.samples
                ]
                if len(absent) == len(numbers):
                    findings.setdefault(MISSING_PROMPT, []).append(self._name(folder))
                    continue
                for number in absent:
                    path = folder / SAMPLES_FOLDER / f"{number:04d}.png"
                    findings.setdefault(MISSING_SAMPLE, []).append(self._name(path))
        return findings

    def _prompt_id(self, entry: Path) -> int | None:
        """The prompt of a folder, by its metadata as in the reference, else by its number."""
        if not (entry.is_dir() and entry.name.isdecimal()):
            self._ignore(entry, "not a folder of a prompt")
            return None
        number = int(entry.name)
        path = entry / METADATA_FILE
        prompt_id = self._labelled(path, self.prompts.get(number)) if path.exists() else number
        if prompt_id in self.prompts:
            return prompt_id
        self._ignore(entry, "not a prompt of the suite")
        return None

    def _labelled(self, path: Path, by_number: Prompt | None) -> int | None:
        """The prompt that a metadata file names; None where neither it nor the number is of the suite.

        Raises:
            UntrustworthyError: the number is of the suite, but the metadata is not.
        """
        try:
            metadata = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise UntrustworthyError(
                f"{path} cannot be read: {error}. Delete it, or write the suite's line."
            ) from error
        prompt_id = self.prompt_ids.get(_canonical(metadata))
        if prompt_id is None and by_number is not None:
            asked = metadata.get("prompt") if isinstance(metadata, dict) else metadata
            raise UntrustworthyError(
                f"{path} is no line of the suite {self.suite.name}: expected one such as that of {by_number.text!r}, "
                f"found {asked!r}. These images were made for other prompts, and would be judged wrongly. Choose "
                "the right --suite, give rewritten prompts with --prompts, or export the suite's lines with "
                "`selfe-eval suites --export`."
            )
        return prompt_id

    def _look_into(self, folder: Path, steps: int, prompt_id: int) -> None:
        for entry in sorted(folder.iterdir()):
            if entry.name not in _LAYOUT:
                self._ignore(entry, "not part of the layout")
        samples = folder / SAMPLES_FOLDER
        for entry in sorted(samples.iterdir()) if samples.is_dir() else []:
            match = _SAMPLE_NAME.fullmatch(entry.name)
            if match is None or not entry.is_file():
                self._ignore(entry, _why_no_sample(entry))
                continue
            sample = _Sample(steps=steps, prompt_id=prompt_id, number=int(match[1]))
            if sample in self.samples:
                raise UntrustworthyError(
                    f"{self.samples[sample]} and {entry} both claim to be image {sample.number} of prompt "
                    f"{prompt_id}. Delete one of them."
                )
            self.samples[sample] = entry
            if not _is_png(entry):
                self._ignore(
                    entry, "named .png, but its content is none: decoded as what it is, as by the reference"
                )

    def _ignore(self, path: Path, reason: str, *, as_well: Path | None = None) -> None:
        name = self._name(path) if as_well is None else f"{self._name(path)} beside {self._name(as_well)}"
        self.ignored.setdefault(reason, []).append(name)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _is_png(path: Path) -> bool:
    """Whether a file begins as a PNG does; of one that cannot be read the score will say so."""
    try:
        with path.open("rb") as stream:
            return stream.read(len(_PNG_SIGNATURE)) == _PNG_SIGNATURE
    except OSError:
        return True


def _sample_numbers(found: set[int], images_per_prompt: int | None) -> list[int]:
    """The sample numbers that every prompt should have, ascending: the first found, filled up where too few."""
    numbers = sorted(found)[:images_per_prompt]
    unused = (number for number in itertools.count() if number not in found)
    num_lacking = 0 if images_per_prompt is None else images_per_prompt - len(numbers)
    return sorted([*numbers, *itertools.islice(unused, num_lacking)])


def _why_no_sample(entry: Path) -> str:
    """Why an entry of a folder of samples is not scored."""
    if not entry.is_file():
        return "not a file: the reference ignores it"
    if _SAMPLE_NAME.match(entry.name):
        return "the name goes on after .png: the reference would score it as one more sample"
    if entry.suffix.lower() in _FORMATS:
        return f"{_FORMATS[entry.suffix.lower()]}: the reference ignores it"
    return "not named like 0000.png: the reference ignores it"


def _canonical(metadata: Any) -> str:
    """Equal for equal metadata, whatever the order of the keys."""
    return json.dumps(metadata, sort_keys=True)


def _lines(findings: Mapping[str, Sequence[str]]) -> list[str]:
    lines = []
    for reason, entries in findings.items():
        more = ", ..." if len(entries) > _NUM_SHOWN else ""
        lines.append(f"{reason} ({len(entries)}): {', '.join(entries[:_NUM_SHOWN])}{more}")
    return lines
