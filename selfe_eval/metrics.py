"""The visible table of metrics: what each is made of, which way is better, and what its verdict tolerates.

A metric is its protocol. Its bare name is kept for the extractor that the published numbers are made with; any
other gives another name, ``fid[openmoji-clip]``, which never shares a table with ``fid``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from selfe_eval.errors import UsageError, unknown_name

Need = Literal["judge", "captions", "reference", "several"]
"""What a metric needs beside images: a detector, prompts read by a CLIP model, reference images, or several images
of each prompt."""

Unit = Literal["share", "points", "distance"]
"""A share of images in [0, 1]; CLIP points in [0, 100]; or a distance, which only its own protocol gives meaning."""

WORLD_EXTRACTOR = "openmoji-clip"
"""The extractor of the openmoji world, in the place of those that are made for photographs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric with the extractor that published numbers use."""

    name: str
    """As typed, and as in tables."""
    title: str
    """For headings."""
    need: Need
    """What it needs beside images."""
    extractor: str | None
    """Key of the table of extractors; None for GenEval, which has a detector."""
    unit: Unit
    """What its values are."""
    higher_is_better: bool
    """Direction; of the verdict, and of nothing else."""
    delta: float | None
    """The fall that a MONOTONE verdict rules out, in units of the metric; for distances a share of the value at the
    first step count. None where no direction is better: then there is no verdict."""


METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            name="geneval",
            title="GenEval",
            need="judge",
            extractor=None,
            unit="share",
            higher_is_better=True,
            delta=0.02,
        ),
        Metric(
            name="clip-score",
            title="CLIP-score",
            need="captions",
            extractor="clip-vit-l-14",
            unit="points",
            higher_is_better=True,
            delta=0.5,
        ),
        Metric(
            name="fid",
            title="FID",
            need="reference",
            extractor="inception",
            unit="distance",
            higher_is_better=False,
            delta=0.05,
        ),
        Metric(
            name="clean-fid",
            title="clean FID",
            need="reference",
            extractor="inception-clean",
            unit="distance",
            higher_is_better=False,
            delta=0.05,
        ),
        Metric(
            name="fd-dinov2",
            title="FD-DINOv2",
            need="reference",
            extractor="dinov2",
            unit="distance",
            higher_is_better=False,
            delta=0.05,
        ),
        Metric(
            name="kid",
            title="KID",
            need="reference",
            extractor="inception",
            unit="distance",
            higher_is_better=False,
            delta=0.05,
        ),
        Metric(
            name="cmmd",
            title="CMMD",
            need="reference",
            extractor="clip-vit-l-14-336",
            unit="distance",
            higher_is_better=False,
            delta=0.05,
        ),
        Metric(
            name="precision",
            title="precision",
            need="reference",
            extractor="dinov2",
            unit="share",
            higher_is_better=True,
            delta=0.02,
        ),
        Metric(
            name="recall",
            title="recall",
            need="reference",
            extractor="dinov2",
            unit="share",
            higher_is_better=True,
            delta=0.02,
        ),
        Metric(
            name="density",
            title="density",
            need="reference",
            extractor="dinov2",
            unit="share",
            higher_is_better=True,
            delta=0.02,
        ),
        Metric(
            name="coverage",
            title="coverage",
            need="reference",
            extractor="dinov2",
            unit="share",
            higher_is_better=True,
            delta=0.02,
        ),
        Metric(
            name="spread",
            title="spread",
            need="several",
            extractor="clip-vit-l-14",
            unit="share",
            higher_is_better=True,
            delta=None,
        ),
    )
}
"""Every metric, in the order in which results show them. ``density`` may exceed 1."""

_NOT_IN_THE_WORLD = frozenset({"clean-fid", "fd-dinov2"})
"""Metrics that differ from another one by their extractor alone."""

_TYPED = re.compile(r"(?P<name>[a-z0-9-]+)(?:\[(?P<extractor>[a-z0-9-]+)\])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A metric with the extractor it is computed with."""

    metric: Metric
    """Which metric."""
    extractor: str | None
    """Key of the table of extractors; None for GenEval."""
    variant: str | None = None
    """What sets it apart beside the extractor: the protocol of CLIP-score."""

    @property
    def name(self) -> str:
        """The bare name where all is as published, else with what is not in brackets.

        >>> Measured(metric=METRICS["fid"], extractor="openmoji-clip").name
        'fid[openmoji-clip]'
        """
        other = self.variant or (None if self.extractor == self.metric.extractor else self.extractor)
        return f"{self.metric.name}[{other}]" if other else self.metric.name

    @property
    def file_stem(self) -> str:
        """The name for files: without brackets.

        >>> Measured(metric=METRICS["fid"], extractor="openmoji-clip").file_stem
        'fid.openmoji-clip'
        """
        return self.name.replace("[", ".").replace("]", "")


def is_of_openmoji(suite: str) -> bool:
    """Whether a suite's images are of the openmoji world, which has its own judge, extractor and reference.

    >>> is_of_openmoji("openmoji[rewritten]"), is_of_openmoji("geneval")
    (True, False)
    """
    return suite.startswith("openmoji")


def measured_on(typed: str, suite: str) -> Measured:
    """The metric of this name on a suite: on the openmoji world with the world's own extractor.

    Args:
        typed: A key of METRICS, or ``name[extractor]`` for another extractor than the suite's.
        suite: Name of the suite.

    Raises:
        UsageError: there is no such metric.

    >>> measured_on("fid", "geneval").name, measured_on("fid", "openmoji").name
    ('fid', 'fid[openmoji-clip]')
    >>> measured_on("fid[inception]", "openmoji").name
    'fid'
    """
    match = _TYPED.fullmatch(typed)
    if match is None or match["name"] not in METRICS:
        raise unknown_name("metric", typed, METRICS)
    metric = METRICS[match["name"]]
    if metric.extractor is None:
        if match["extractor"]:
            raise UsageError(f"Metric {typed!r}: {metric.name} has no extractor to choose; see --detector.")
        return Measured(metric=metric, extractor=None)
    in_world = is_of_openmoji(suite) and metric.name not in _NOT_IN_THE_WORLD
    return Measured(
        metric=metric, extractor=match["extractor"] or (WORLD_EXTRACTOR if in_world else metric.extractor)
    )


def metrics_of(suite: str) -> tuple[str, ...]:
    """The names of all metrics that make sense on a suite, in the order of the table."""
    in_world = is_of_openmoji(suite)
    return tuple(name for name in METRICS if not (in_world and name in _NOT_IN_THE_WORLD))
