"""The data of the gallery: prompts, verdicts and boxes as one compact JSON document, pictures as one text of base64.

The page's script reads the document when it opens and cuts a picture out of the text when it is scrolled into view.
Long names stand in tables at the top of the document and are given by their place.
"""

from __future__ import annotations

import base64
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from selfe_eval.records import Prompt
from selfe_eval.report.contact_sheet import Mark
from selfe_eval.report.html.content import ShownImage, ShownRun, Thumbnail

T = TypeVar("T", bound=Hashable)

NOTHING = -1
"""The place of what is not there."""


class Table(Generic[T]):
    """Values that are given by their place, each once."""

    def __init__(self) -> None:
        self._places: dict[T, int] = {}

    def place(self, value: T) -> int:
        """Where the value stands; at the end where it is new."""
        return self._places.setdefault(value, len(self._places))

    @property
    def values(self) -> list[T]:
        """All values, in order."""
        return list(self._places)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """What the page's script works on."""

    document: dict[str, Any]
    """JSON types only; see `gallery`."""
    pictures: str
    """All pictures in base64, one behind the other."""
    num_faults: int
    """Images that cannot be shown though they were to be."""


def gallery(runs: Sequence[ShownRun], *, with_pictures: bool) -> Gallery:
    """The gallery of these runs.

    Of the document, ``prompts`` has one entry a prompt with ``runs``: for each run null or, by step count, its images
    ``[picture, verdict, reason, fault, mark...]``, where a verdict is 1, 0 or -1 for none. A picture is ``[start, end,
    width, height]``, and a mark ``[class, x0, y0, x1, y1, score, color, counts]``.
    """
    return _Builder().build(runs, with_pictures=with_pictures)


class _Builder:
    """Collects the tables while it walks through the images."""

    def __init__(self) -> None:
        self.texts = Table[str]()
        self.thumbnails = Table[tuple[bytes, tuple[int, int]]]()

    def build(self, runs: Sequence[ShownRun], *, with_pictures: bool) -> Gallery:
        prompts = self._prompts(runs)
        pictures, places, start = [], [], 0
        for webp, size in self.thumbnails.values:
            text = base64.b64encode(webp).decode("ascii")
            places.append([start, start + len(text), *size])
            start += len(text)
            pictures.append(text)
        return Gallery(
            document={
                "runs": [_run(run) for run in runs],
                "texts": self.texts.values,
                "pictures": places,
                "prompts": prompts,
                "withPictures": with_pictures,
            },
            pictures="".join(pictures),
            num_faults=sum(bool(image.fault) for run in runs for image in run.images) if with_pictures else 0,
        )

    def _prompts(self, runs: Sequence[ShownRun]) -> list[dict[str, Any]]:
        found: dict[tuple[str, int], dict[str, Any]] = {}
        for number, run in enumerate(runs):
            texts = {prompt.prompt_id: prompt for prompt in run.suite.prompts}
            steps = {count: place for place, count in enumerate(run.record.spec.steps)}
            for image in run.images:
                key = (run.suite.sha256, image.key.prompt_id)
                if key not in found:
                    found[key] = _prompt(texts[image.key.prompt_id], run, len(runs))
                by_steps = found[key]["runs"]
                if by_steps[number] is None:
                    by_steps[number] = [[] for _ in steps]
                by_steps[number][steps[image.key.steps]].append(self._image(image))
        return list(found.values())

    def _image(self, image: ShownImage) -> list[Any]:
        verdict = NOTHING if image.correct is None else int(image.correct)
        return [
            self._picture(image.thumbnail),
            verdict,
            self._text(image.reason),
            self._text(image.fault),
            *(self._mark(mark) for mark in image.marks),
        ]

    def _picture(self, picture: Thumbnail | None) -> int:
        return NOTHING if picture is None else self.thumbnails.place((picture.webp, picture.size))

    def _text(self, text: str | None) -> int:
        return self.texts.place(text) if text else NOTHING

    def _mark(self, mark: Mark) -> list[Any]:
        return [
            self._text(mark.class_name),
            *(round(edge, 1) for edge in mark.box),
            round(mark.score, 3),
            self._text(mark.color),
            int(mark.counts),
        ]


def _run(run: ShownRun) -> dict[str, Any]:
    return {
        "name": run.entry.model,
        "steps": list(run.record.spec.steps),
    }


def _prompt(prompt: Prompt, run: ShownRun, num_runs: int) -> dict[str, Any]:
    return {
        "id": prompt.prompt_id,
        "suite": run.suite.sha256[:8],
        "task": prompt.task,
        "text": prompt.text,
        "unseen": int(prompt.prompt_id in run.suite.unseen) if run.suite.unseen else NOTHING,
        "runs": [None] * num_runs,
    }
