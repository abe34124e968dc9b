"""Images that anybody made, in the official layout: find them, and say what the reference skips in silence.

    DIR/00000/metadata.jsonl        optional here; where it is there, it must be the suite's own line
    DIR/00000/samples/0000.png      four or five digits
    DIR/steps-004/00000/...         the same, once per step count, as in a run folder

The reference (djghosh13/geneval at af4902f, evaluate_images.py) walks whatever folders it finds, scores
whatever PNG it finds, and prints a mean: 544 prompts, three samples or a folder of JPEGs give a number like
any other. Here each planned image is there or is named as missing.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.pipeline.generate import file_hash
from selfe_eval.records import ImageKey, Prompt, Suite
from selfe_eval.runs.atomic import atomic_write
from selfe_eval.runs.images import ImageRecord
from selfe_eval.runs.journal import journal_bytes
from selfe_eval.runs.layout import METADATA_FILE, SAMPLES_FOLDER
from selfe_eval.runs.run import Run

NO_STEPS = 0
"""Step count of images whose step count nobody said."""

_PROMPT_NAME = re.compile(r"\d+")
_SAMPLE_NAME = re.compile(r"(\d+)\.png")
_STEPS_NAME = re.compile(r"steps-(\d{3,})")
_NUM_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundImages:
    """What lies in a folder of images, against what a suite asks for."""

    folder: Path
    """The folder, absolute."""
    paths: dict[ImageKey, Path] = field(default_factory=dict)
    """The images, in the order of their keys."""
    images_per_prompt: int
    """Asked for, or one more than the highest sample number found."""
    missing: tuple[str, ...] = ()
    """Each planned image that is not there, relative to the folder."""
    ignored: tuple[str, ...] = ()
    """Each entry that is no image of the layout, relative to the folder, with the reason."""

    @property
    def steps(self) -> tuple[int, ...]:
        """The step counts found, ascending."""
        return tuple(sorted({key.steps for key in self.paths}))

    def refuse_incomplete(self) -> None:
        """Fail where planned images are missing.

        Raises:
            UntrustworthyError: with numbers, the first names, and what to do.
        """
        if not self.missing:
            return
        ignored = (
            f" {len(self.ignored)} other entries are ignored ({_some(self.ignored)})." if self.ignored else ""
        )
        raise UntrustworthyError(
            f"{self.folder} is incomplete: {len(self.missing)} of {len(self.missing) + len(self.paths)} "
            f"images are missing ({_some(self.missing)}).{ignored} The official scorer would print a number "
            "all the same; here nothing was scored. Add the images as PNG files named samples/0000.png and "
            "so on, say how many there should be with --images-per-prompt, or score what is there, stamped "
            "partial, with --allow-partial."
        )


def find_images(
    folder: Path, suite: Suite, *, steps: int = NO_STEPS, images_per_prompt: int | None = None
) -> FoundImages:
    """Look through a folder of images.

    Args:
        folder: In the official layout, with or without one folder per step count.
        suite: The prompts; folder numbers are prompt ids.
        steps: The step count of images that do not lie in a folder of their step count.
        images_per_prompt: How many each prompt should have; by default as many as the prompt that has most.

    Raises:
        UsageError: the folder is missing or holds no image of the layout.
        UntrustworthyError: a ``metadata.jsonl`` is not the suite's, or two files claim one image.
    """
    if not folder.is_dir():
        raise UsageError(
            f"No folder of images at {folder}: expected one folder per prompt, as in "
            f"{folder}/00000/samples/0000.png."
        )
    prompts = {prompt.prompt_id: prompt for prompt in suite.prompts}
    search = _Search(root=folder, prompts=prompts)
    by_steps = sorted(
        entry for entry in folder.iterdir() if entry.is_dir() and _STEPS_NAME.fullmatch(entry.name)
    )
    for entry in by_steps:
        search.walk(entry, int(entry.name.removeprefix("steps-")))
    if by_steps:
        search.ignore_all("no folder of a step count", except_for=by_steps)
    if not by_steps:
        search.walk(folder, steps)
    if not search.paths:
        raise UsageError(
            f"{folder} holds no image in the official layout: expected PNG files such as "
            f"00000/samples/0000.png, found {_some(search.ignored) or 'nothing'}. JPEG and WebP files are "
            "not scored (compression changes what a detector sees): save the generator's output as PNG."
        )
    count = images_per_prompt or 1 + max(key.image_index for key in search.paths)
    return search.found(count)


def record_images(run: Run, found: FoundImages) -> None:
    """Write ``images.jsonl`` for the images found, with their hashes as they are now."""
    records = [
        ImageRecord(key=key, path=str(path), sha256=file_hash(path) or "unreadable")
        for key, path in found.paths.items()
    ]
    content = journal_bytes(record.as_json() for record in records)
    if not run.images_file.is_file() or run.images_file.read_bytes() != content:
        atomic_write(run.images_file, content)


@dataclass(kw_only=True)
class _Search:
    """One walk through a folder, collecting what it meets."""

    root: Path
    prompts: dict[int, Prompt]
    paths: dict[ImageKey, Path] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    counts: list[tuple[int, Path]] = field(default_factory=list)

    def walk(self, folder: Path, steps: int) -> None:
        """Look through the prompt folders of one step count."""
        self.counts.append((steps, folder))
        for entry in sorted(folder.iterdir()):
            is_prompt = entry.is_dir() and _PROMPT_NAME.fullmatch(entry.name)
            if not is_prompt:
                self._ignore(entry, "no prompt folder")
            elif int(entry.name) not in self.prompts:
                self._ignore(entry, "no such prompt in the suite")
            else:
                self._look_into(entry, steps, self.prompts[int(entry.name)])

    def ignore_all(self, reason: str, *, except_for: list[Path]) -> None:
        """Note what lies beside the folders that were walked."""
        for entry in sorted(set(self.root.iterdir()) - set(except_for)):
            self._ignore(entry, reason)

    def found(self, images_per_prompt: int) -> FoundImages:
        """What was met, against what should be there."""
        missing = [
            f"{(folder / f'{prompt_id:05d}' / SAMPLES_FOLDER / f'{index:04d}.png').relative_to(self.root)}"
            for steps, folder in self.counts
            for prompt_id in self.prompts
            for index in range(images_per_prompt)
            if ImageKey(steps=steps, prompt_id=prompt_id, image_index=index) not in self.paths
        ]
        wanted = {
            key: path for key, path in sorted(self.paths.items()) if key.image_index < images_per_prompt
        }
        surplus = [
            self._say(path, "more than --images-per-prompt")
            for k, path in self.paths.items()
            if k not in wanted
        ]
        return FoundImages(
            folder=self.root.resolve(),
            paths={key: path.resolve() for key, path in wanted.items()},
            images_per_prompt=images_per_prompt,
            missing=tuple(missing),
            ignored=(*self.ignored, *surplus),
        )

    def _look_into(self, folder: Path, steps: int, prompt: Prompt) -> None:
        _check_metadata(folder / METADATA_FILE, prompt)
        samples = folder / SAMPLES_FOLDER
        for entry in sorted(samples.iterdir()) if samples.is_dir() else []:
            match = _SAMPLE_NAME.fullmatch(entry.name)
            if match is None or not entry.is_file():
                self._ignore(entry, "not named like 0000.png")
                continue
            key = ImageKey(steps=steps, prompt_id=prompt.prompt_id, image_index=int(match[1]))
            if key in self.paths:
                raise UntrustworthyError(
                    f"{self.paths[key]} and {entry} both claim to be image {key.image_index} of prompt "
                    f"{prompt.prompt_id}. Delete one of them."
                )
            self.paths[key] = entry

    def _ignore(self, path: Path, reason: str) -> None:
        self.ignored.append(self._say(path, reason))

    def _say(self, path: Path, reason: str) -> str:
        return f"{path.relative_to(self.root)}: {reason}"


def _check_metadata(path: Path, prompt: Prompt) -> None:
    """A metadata file is not needed, but one that says another thing means images of another prompt."""
    try:
        metadata = json.loads(path.read_bytes())
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise UntrustworthyError(
            f"{path} cannot be read: {error}. Delete it, or write the suite's line."
        ) from error
    if metadata != prompt.metadata():
        asked = metadata.get("prompt") if isinstance(metadata, dict) else metadata
        raise UntrustworthyError(
            f"{path} is not the suite's line for prompt {prompt.prompt_id}: expected {prompt.text!r}, found "
            f"{asked!r}. These images were made for other prompts or another order, and would be judged "
            "wrongly. Choose the right --suite, or export its lines with `selfe-eval suites --export`."
        )


def _some(names: tuple[str, ...] | list[str]) -> str:
    shown = ", ".join(names[:_NUM_SHOWN])
    return f"{shown}, ..." if len(names) > _NUM_SHOWN else shown
