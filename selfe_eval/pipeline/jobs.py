"""What a caller may ask to be measured: a checkpoint, somebody else's model, or images that somebody made.

A job says everything that decides the numbers; its record is the run that answers it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from selfe_eval.generate.checkpoints import CheckpointFolder
from selfe_eval.generate.models import FoundModel, refuse_foreign_options
from selfe_eval.generate.overrides import SamplerOverrides
from selfe_eval.pipeline.found_images import FoundImages
from selfe_eval.pipeline.plan import select_prompts
from selfe_eval.records import Suite
from selfe_eval.runs.judge import JudgeOptions
from selfe_eval.runs.measures import MeasureOptions
from selfe_eval.runs.run import RunRecord
from selfe_eval.runs.spec import RunSpec

BATCH_SIZE = 64
"""Images drawn together by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _DrawingJob:
    """What is asked alike of a checkpoint and of another model."""

    suite: Suite
    """The prompts."""
    steps: tuple[int, ...]
    """Step counts, ascending."""
    images_per_prompt: int = 4
    """Images of each prompt at each step count."""
    limit: int | None = None
    """At most so many prompts."""
    seed: int = 0
    """The run seed."""
    overrides: SamplerOverrides = field(default_factory=SamplerOverrides)
    """Changes to the model's sampler."""
    detector: str = "openmoji"
    """Registry name of the detector."""
    judge: JudgeOptions = field(default_factory=JudgeOptions)
    """The judge's files."""
    measures: MeasureOptions = field(default_factory=MeasureOptions)
    """What is measured."""
    device: str = "auto"
    """Where to compute."""
    batch_size: int | None = None
    """Images drawn together; None for what the model says, or BATCH_SIZE."""

    def _record(self, reference: str, *, batch_size: int | None = None, **source: Any) -> RunRecord:
        """The run of a model that is found again by this reference.

        Args:
            reference: Path or name.
            batch_size: What the model says.
            source: What the spec says of the model.
        """
        spec = RunSpec(
            suite=self.suite.name,
            suite_sha256=self.suite.sha256,
            steps=self.steps,
            images_per_prompt=self.images_per_prompt,
            limit=self.limit,
            seed=self.seed,
            **asdict(self.overrides),
            detector=self.detector,
            batch_size=self.batch_size or batch_size or BATCH_SIZE,
            **source,
        )
        prompt_ids = select_prompts(self.suite, self.limit)
        return RunRecord(
            spec=spec,
            prompt_ids=prompt_ids,
            partial=len(prompt_ids) < len(self.suite.prompts),
            checkpoint=reference,
            device=self.device,
            judge=self.judge,
            measures=self.measures,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointJob(_DrawingJob):
    """What a caller asks of a checkpoint."""

    checkpoint: CheckpointFolder
    """The model."""

    def record(self) -> RunRecord:
        """The run that answers it."""
        return self._record(
            self.checkpoint.reference,
            source="checkpoint",
            model=self.checkpoint.name,
            checkpoint_sha256=self.checkpoint.sha256,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelJob(_DrawingJob):
    """What a caller asks of somebody else's model."""

    model: FoundModel
    """The model."""
    name: str | None = None
    """As the leaderboard shows it; None for the model's own."""

    def __post_init__(self) -> None:
        refuse_foreign_options(self.model.source, self.overrides)

    def record(self) -> RunRecord:
        """The run that answers it."""
        settings = self.model.settings
        return self._record(
            self.model.source.reference,
            batch_size=self.model.batch_size,
            source="model",
            model=self.name or self.model.name,
            checkpoint_sha256=self.model.sha256,
            adapter=self.model.source.adapter,
            settings=None if settings is None else json.loads(json.dumps(settings.as_json())),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundImagesJob:
    """What a caller asks of images that somebody else made."""

    found: FoundImages
    """The images."""
    suite: Suite
    """The prompts they were made for."""
    model: str
    """Name of the model as the leaderboard shows it."""
    detector: str = "openmoji"
    """Registry name of the detector."""
    judge: JudgeOptions = field(default_factory=JudgeOptions)
    """The judge's files."""
    measures: MeasureOptions = field(default_factory=MeasureOptions)
    """What is measured."""
    device: str = "auto"
    """Where to score."""

    def record(self) -> RunRecord:
        """The run that answers it; partial where images are missing."""
        spec = RunSpec(
            suite=self.suite.name,
            suite_sha256=self.suite.sha256,
            source="images",
            model=self.model,
            checkpoint_sha256={},
            images_dir=str(self.found.folder),
            steps=self.found.steps,
            images_per_prompt=self.found.images_per_prompt,
            detector=self.detector,
            batch_size=BATCH_SIZE,
        )
        return RunRecord(
            spec=spec,
            prompt_ids=select_prompts(self.suite, None),
            partial=self.found.num_missing > 0,
            device=self.device,
            judge=self.judge,
            measures=self.measures,
        )


Job = CheckpointJob | ModelJob | FoundImagesJob
"""All of them have ``suite`` and ``record()``."""
