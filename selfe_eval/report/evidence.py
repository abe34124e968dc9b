"""What a run knows about every metric, image by image or with replicates: all that a comparison or a baseline needs.

No file of images and no feature is needed any more, so evidence can be committed, and a run compared with it years later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from selfe_eval.metrics import Unit
from selfe_eval.report.libraries import Libraries


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageEvidence:
    """One number for each image: GenEval's verdicts as 0 and 1, CLIP-scores, spreads."""

    values: Mapping[tuple[int, int], float]
    """(prompt_id, image_index) -> number; images without one are left out."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SetEvidence:
    """One number for all images, with what it is without each group of prompts: FID and its kin."""

    value: float
    """Of all images."""
    without: NDArray[np.float64]
    """(G,) without each group of prompts; the groups follow from the prompts, so two runs have the same."""
    n: int
    """Number of images."""
    n_clusters: int
    """Number of prompts."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MetricEvidence:
    """One metric of a run."""

    metric: str
    """Full name, with the variant in brackets."""
    protocol_sha256: str
    """Two runs are comparable where it is equal: of the scorer, or of the metric's protocol."""
    unit: Unit
    """What the numbers are."""
    higher_is_better: bool
    """Direction."""
    is_macro: bool
    """Whether the number of a run is the mean over tasks (GenEval), or over all images."""
    steps: Mapping[int, ImageEvidence | SetEvidence]
    """Step count -> what is known there."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunEvidence:
    """All metrics of a run."""

    model: str
    """As tables show it."""
    suite: str
    """Name of the suite."""
    suite_sha256: str
    """Of the suite's metadata lines."""
    tasks: Mapping[int, str]
    """Prompt id -> task, of every prompt that the run covers."""
    images_per_prompt: int
    """Planned images of each prompt at each step count."""
    seed: int | None
    """The run seed; None where somebody else made the images. Equal seeds: the same noise."""
    partial: bool
    """Whether prompts were left out or images are missing."""
    spec_sha256: str
    """Of what the run was asked to do."""
    metrics: Mapping[str, MetricEvidence]
    """By full name, in the order of the table of metrics."""
    libraries: Libraries = field(default_factory=dict)
    """What it was drawn and measured with; empty where that is not known."""
