"""The nouns that cross borders between packages. Pure data, no torch, no files.

Task names, colour names and metadata keys are GenEval's own (djghosh13/geneval at af4902f), so that our
records and the official files can be read side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TASKS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
"""GenEval's six tasks, in the order of the official prompt file."""

COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white")
"""GenEval's ten colours, in the reference's order (ties go to the earlier one)."""

RELATIONS = ("left of", "right of", "above", "below")
"""GenEval's four spatial relations, in the order the official generator draws them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One entry of a prompt's ``include`` or ``exclude`` list."""

    class_name: str
    """One of the 80 GenEval classes."""
    count: int
    """At least so many objects (``include``), or fewer than so many (``exclude``)."""
    color: str | None = None
    """One of COLORS, or None where the prompt names no colour."""
    position: tuple[str, int] | None = None
    """(relation, index of the reference requirement), or None."""

    @classmethod
    def from_metadata(cls, entry: Mapping[str, Any]) -> Requirement:
        """Read one entry of the official metadata."""
        position = entry.get("position")
        return cls(
            class_name=entry["class"],
            count=int(entry["count"]),
            color=entry.get("color"),
            position=None if position is None else (str(position[0]), int(position[1])),
        )

    def metadata(self) -> dict[str, Any]:
        """The entry in the official key order."""
        entry: dict[str, Any] = {"class": self.class_name, "count": self.count}
        if self.color is not None:
            entry["color"] = self.color
        if self.position is not None:
            entry["position"] = list(self.position)
        return entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One line of a suite: what is asked and what must be seen."""

    prompt_id: int
    """Position in the suite; the folder number of the official layout."""
    task: str
    """One of TASKS."""
    text: str
    """The sentence the generator gets."""
    include: tuple[Requirement, ...]
    """What must be there."""
    exclude: tuple[Requirement, ...] = ()
    """What must not be there (counting only)."""

    @classmethod
    def from_metadata(cls, prompt_id: int, metadata: Mapping[str, Any]) -> Prompt:
        """Read one line of an official ``evaluation_metadata.jsonl``."""
        return cls(
            prompt_id=prompt_id,
            task=metadata["tag"],
            text=metadata["prompt"],
            include=tuple(Requirement.from_metadata(entry) for entry in metadata["include"]),
            exclude=tuple(Requirement.from_metadata(entry) for entry in metadata.get("exclude", ())),
        )

    def metadata(self) -> dict[str, Any]:
        """The official metadata: keys in the order tag, include, [exclude], prompt."""
        entry: dict[str, Any] = {"tag": self.task, "include": [r.metadata() for r in self.include]}
        if self.exclude:
            entry["exclude"] = [r.metadata() for r in self.exclude]
        entry["prompt"] = self.text
        return entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A named, hashed set of prompts."""

    name: str
    """Registry name, ``geneval`` or ``openmoji``; with ``[rewritten]`` behind it where the texts are rewritten."""
    prompts: Sequence[Prompt]
    """In the order of their prompt_id."""
    sha256: str
    """Of the metadata lines as bytes."""
    unseen: frozenset[int] = frozenset()
    """prompt_ids whose combination was held out of the bundled models' training (openmoji only)."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ImageKey:
    """Which image: the key of every record."""

    steps: int
    """Number of sampling steps."""
    prompt_id: int
    """Which prompt of the suite."""
    image_index: int
    """Which of the images of this prompt, from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredObject:
    """One detection as GenEval's rules see it."""

    box: tuple[float, float, float, float]
    """(x0, y0, x1, y1) in pixels, y down, right and bottom exclusive."""
    score: float
    """Detector confidence; holds a float32 value exactly."""
    color: str | None = None
    """One of COLORS, once it has been classified."""
