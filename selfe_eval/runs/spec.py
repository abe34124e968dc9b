"""What a run was asked to do: the part of ``run.json`` that is hashed and never changes in one folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from selfe_eval.errors import UntrustworthyError
from selfe_eval.provenance import json_sha256

Source = Literal["checkpoint", "model", "images"]
"""Where the images come from: made by a checkpoint of Self-E, by somebody else's model, or found in a folder."""

LATER_FIELDS = frozenset({"adapter", "guidance_norm", "negative_prompt", "noise_rule", "settings", "warp"})
"""Not written where they are None, so that runs from before these fields keep their hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """Everything that decides which images are made and how they are scored. Equal specs, equal bits."""

    suite: str
    """Name of the suite."""
    suite_sha256: str
    """Of the suite's metadata lines."""
    source: Source
    """Made by a checkpoint or another model, or found in a folder."""
    model: str
    """Name of the model as the leaderboard shows it."""
    checkpoint_sha256: Mapping[str, str]
    """File name -> SHA-256 of every file that is loaded: of the checkpoint, of a pipeline, or the source file of a
    module; empty where the images were found."""
    adapter: str | None = None
    """What draws for somebody else's model: ``diffusers``, the name of a preset, or ``module:attribute``."""
    settings: Mapping[str, Any] | None = None
    """Settings of that model's pipeline, JSON types only."""
    images_dir: str | None = None
    """Absolute path of the folder the images were found in."""
    steps: tuple[int, ...]
    """Step counts, ascending."""
    images_per_prompt: int
    """How many images each prompt gets at each step count."""
    limit: int | None = None
    """At most so many prompts, spread evenly over the tasks; None for all."""
    seed: int = 0
    """The run seed, from which every image's seed follows."""
    guidance: float | None = None
    """Override of the checkpoint's guidance scale."""
    eta: float | None = None
    """Override of the checkpoint's eta."""
    s_schedule: str | None = None
    """Override of the checkpoint's s schedule: ``next``, ``current``, a number in [0, 1], or a list with commas."""
    guidance_norm: str | None = None
    """Override of what the checkpoint's guidance keeps."""
    negative_prompt: str | None = None
    """Override of what the unconditional branch reads."""
    noise_rule: str | None = None
    """Override of the checkpoint's noise rule."""
    warp: float | None = None
    """Override of the mean shift of the times."""
    detector: str
    """Registry name of the detector."""
    batch_size: int
    """Images a batch; part of the spec because it decides the bits of floating-point sums."""

    @property
    def is_drawn(self) -> bool:
        """Whether the images are made here; else they were found."""
        return self.source != "images"

    @property
    def runs_code(self) -> bool:
        """Whether code is imported that no file of this package or of a checkpoint is: ``module:attribute``."""
        return self.adapter is not None and ":" in self.adapter

    @property
    def sha256(self) -> str:
        """Of the canonical JSON of all fields."""
        return json_sha256(self.as_json())

    def as_json(self) -> dict[str, Any]:
        """The ``spec`` object of ``run.json``."""
        document = {
            name: value
            for name, value in asdict(self).items()
            if value is not None or name not in LATER_FIELDS
        }
        return {**document, "steps": list(self.steps), "checkpoint_sha256": dict(self.checkpoint_sha256)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RunSpec:
        """Read the ``spec`` object of ``run.json``.

        Raises:
            UntrustworthyError: fields are missing or unknown.
        """
        differing = ({field.name for field in fields(cls)} ^ set(document)) - LATER_FIELDS
        if differing:
            names = ", ".join(sorted(differing))
            raise UntrustworthyError(
                f"The spec in run.json does not have the fields this version knows (differing: {names}). "
                "It was written by another version of selfe-eval, or edited. Start a new run with --out."
            )
        return cls(**{**document, "steps": tuple(document["steps"])})

    def differences(self, other: RunSpec) -> list[str]:
        """One phrase for each field that differs: ``field: mine, other's``."""
        mine, others = self.as_json(), other.as_json()
        return [
            f"{name}: {mine.get(name)!r}, now {others.get(name)!r}"
            for name in {**mine, **others}
            if mine.get(name) != others.get(name)
        ]

    def folder_name(self) -> str:
        """Name of the default run folder: the same command finds the same folder again."""
        return f"{_file_name(self.suite)}-{_file_name(self.model) or 'model'}-{self.sha256[:8]}"


def _file_name(text: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in text).strip(".-")
