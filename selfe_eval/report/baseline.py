"""A baseline: the evidence of a run as one committed file, with who made it the baseline, when and why.

No image is needed to compare with it, years later. The file says which file it took the place of, and carries a hash of
itself: a number that was edited by hand is refused. Verdicts stand in it as one character an image, other numbers of
images with six digits, and numbers of sets of images in full, since their differences are small.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

import numpy as np

from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.metrics import METRICS, Unit
from selfe_eval.provenance import json_sha256
from selfe_eval.report.evidence import ImageEvidence, MetricEvidence, RunEvidence, SetEvidence
from selfe_eval.report.libraries import Libraries
from selfe_eval.runs.atomic import atomic_write_json
from selfe_eval.runs.journal import refuse_constant

SCHEMA_VERSION = 1
"""Of the file. Another number is refused, never guessed at."""

_MARKS = {0.0: "0", 1.0: "1"}
_NONE = "-"
"""Stands where an image has no number."""

Images = Sequence[tuple[int, int]]
"""(prompt_id, image_index) of every planned image, in the order of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """Who made a run the baseline, when, and why."""

    at: str
    """UTC, ISO 8601."""
    who: str
    """Name of the person."""
    why: str
    """The reason, as typed."""
    git_commit: str | None
    """Of the repository it was done in; None where there is none."""
    version: str
    """Of selfe-eval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Former:
    """A promotion that a later one replaced."""

    at: str
    """UTC, ISO 8601."""
    who: str
    """Name of the person."""
    why: str
    """The reason."""
    sha256: str
    """Of the baseline it made: see `Baseline.sha256`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Baseline:
    """What later runs are held against."""

    evidence: RunEvidence
    """All that a comparison needs."""
    checkpoint_sha256: Mapping[str, str]
    """File name -> hash, of what drew the images; empty where somebody else made them."""
    promotion: Promotion
    """How it became the baseline."""
    history: tuple[Former, ...]
    """What it took the place of, the first one first."""

    @property
    def sha256(self) -> str:
        """Of the whole document but this field."""
        return json_sha256(self._document())

    def as_json(self) -> dict[str, Any]:
        """The document of the file."""
        document = self._document()
        return {**document, "sha256": json_sha256(document)}

    def _document(self) -> dict[str, Any]:
        evidence = self.evidence
        images = _planned_images(evidence.tasks, evidence.images_per_prompt)
        return {
            "schema_version": SCHEMA_VERSION,
            "promotion": asdict(self.promotion),
            "history": [asdict(former) for former in self.history],
            "model": evidence.model,
            "checkpoint_sha256": dict(self.checkpoint_sha256),
            "spec_sha256": evidence.spec_sha256,
            "suite": evidence.suite,
            "suite_sha256": evidence.suite_sha256,
            "prompts": _task_ranges(evidence.tasks),
            "images_per_prompt": evidence.images_per_prompt,
            "seed": evidence.seed,
            **_libraries_json(evidence.libraries),
            "metrics": {name: _metric_json(metric, images) for name, metric in evidence.metrics.items()},
        }


def promoted(
    evidence: RunEvidence,
    checkpoint_sha256: Mapping[str, str],
    promotion: Promotion,
    former: Baseline | None,
) -> Baseline:
    """The baseline that a run becomes.

    Args:
        evidence: Of the run.
        checkpoint_sha256: Hashes of what drew its images.
        promotion: Who, when, why.
        former: The baseline that it takes the place of.

    Raises:
        UntrustworthyError: the run is partial, or has measured nothing.
    """
    if evidence.partial or not evidence.metrics:
        lack = "is partial" if evidence.partial else "has no numbers"
        raise UntrustworthyError(
            f"The run of {evidence.model} on {evidence.suite} {lack}, and a baseline has to cover its suite whole. "
            "Finish it with `selfe-eval resume RUN`; where prompts were left out, measure the whole suite in a new run."
        )
    history = () if former is None else (*former.history, _as_former(former))
    return Baseline(
        evidence=evidence, checkpoint_sha256=dict(checkpoint_sha256), promotion=promotion, history=history
    )


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Replace the file in one step; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_json(path, baseline.as_json())


def read_baseline(path: Path) -> Baseline:
    """The baseline in a file.

    Raises:
        UsageError: there is no file.
        UntrustworthyError: it is damaged, edited, or of another version.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path} is no baseline: expected a file that `selfe-eval baseline promote RUN --to {path} --why TEXT` "
            f"wrote, found none ({error.strerror or error})."
        ) from error
    try:
        document = json.loads(content, parse_constant=refuse_constant)
        if document["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema_version {document['schema_version']!r}, not {SCHEMA_VERSION}")  # noqa: TRY301
        return _baseline(document)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UntrustworthyError(
            f"The baseline {path} cannot be believed: {type(error).__name__} {error}. It is damaged, was edited by hand, "
            "or is of another version. Take it from version control, or promote a run again with `selfe-eval baseline "
            "promote`."
        ) from error


def _as_former(baseline: Baseline) -> Former:
    made = baseline.promotion
    return Former(at=made.at, who=made.who, why=made.why, sha256=baseline.sha256)


def _planned_images(tasks: Mapping[int, str], images_per_prompt: int) -> Images:
    return [(prompt_id, index) for prompt_id in sorted(tasks) for index in range(images_per_prompt)]


def _task_ranges(tasks: Mapping[int, str]) -> list[dict[str, Any]]:
    """Neighbouring prompts of one task as one entry: first and last prompt id."""
    ids = sorted(tasks)
    runs = groupby(enumerate(ids), key=lambda item: (tasks[item[1]], item[1] - item[0]))
    found = [[prompt_id for _, prompt_id in run] for _, run in runs]
    return [{"task": tasks[run[0]], "first": run[0], "last": run[-1]} for run in found]


def _libraries_json(libraries: Libraries) -> dict[str, Any]:
    """Nothing where they are not known, as in files that do not speak of them."""
    return {"libraries": {name: list(releases) for name, releases in libraries.items()}} if libraries else {}


def _metric_json(metric: MetricEvidence, images: Images) -> dict[str, Any]:
    return {
        "protocol_sha256": metric.protocol_sha256,
        "unit": metric.unit,
        "higher_is_better": metric.higher_is_better,
        "is_macro": metric.is_macro,
        "steps": {str(steps): _step_json(one, images) for steps, one in metric.steps.items()},
    }


def _step_json(evidence: ImageEvidence | SetEvidence, images: Images) -> dict[str, Any]:
    if isinstance(evidence, SetEvidence):
        replicates = " ".join(map(repr, map(float, evidence.without)))
        return {
            "value": evidence.value,
            "without": replicates,
            "n": evidence.n,
            "n_clusters": evidence.n_clusters,
        }
    found = [evidence.values.get(key) for key in images]
    if all(value is None or value in _MARKS for value in found):
        return {"marks": "".join(_NONE if value is None else _MARKS[value] for value in found)}
    return {"numbers": " ".join(_NONE if value is None else f"{value:.6g}" for value in found)}


def _baseline(document: Mapping[str, Any]) -> Baseline:
    tasks = {
        prompt_id: str(entry["task"])
        for entry in document["prompts"]
        for prompt_id in range(int(entry["first"]), int(entry["last"]) + 1)
    }
    images = _planned_images(tasks, document["images_per_prompt"])
    evidence = RunEvidence(
        model=document["model"],
        suite=document["suite"],
        suite_sha256=document["suite_sha256"],
        tasks=tasks,
        images_per_prompt=document["images_per_prompt"],
        seed=document["seed"],
        partial=False,
        spec_sha256=document["spec_sha256"],
        metrics={name: _metric(name, one, images) for name, one in document["metrics"].items()},
        libraries={name: tuple(releases) for name, releases in document.get("libraries", {}).items()},
    )
    baseline = Baseline(
        evidence=evidence,
        checkpoint_sha256=document["checkpoint_sha256"],
        promotion=Promotion(**document["promotion"]),
        history=tuple(Former(**former) for former in document["history"]),
    )
    if baseline.as_json() != document:
        differing = [key for key, value in baseline.as_json().items() if document.get(key) != value]
        raise ValueError(f"what it says of itself does not fit ({', '.join(differing) or 'unknown fields'})")
    return baseline


def _metric(name: str, document: Mapping[str, Any], images: Images) -> MetricEvidence:
    if name.partition("[")[0] not in METRICS or document["unit"] not in get_args(Unit):
        raise ValueError(f"metric {name!r} in the unit {document['unit']!r}")
    plain = {field.name: document[field.name] for field in fields(MetricEvidence) if field.name in document}
    steps = {int(count): _step(one, images) for count, one in document["steps"].items()}
    return MetricEvidence(**{**plain, "metric": name, "steps": steps})


def _step(document: Mapping[str, Any], images: Images) -> ImageEvidence | SetEvidence:
    if "value" in document:
        without = [_finite(token) for token in document["without"].split()]
        return SetEvidence(**{**document, "value": _finite(document["value"]), "without": np.array(without)})
    tokens = list(document["marks"]) if "marks" in document else document["numbers"].split()
    values = {key: _finite(token) for key, token in zip(images, tokens, strict=True) if token != _NONE}
    return ImageEvidence(values=values)


def _finite(token: Any) -> float:
    value = float(token)
    if not math.isfinite(value):
        raise ValueError(f"a number is {token}")
    return value
