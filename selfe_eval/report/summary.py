"""The summary of a run: every number with n, interval and method, as a pure function of its records.

``summary.json`` is the only file that leaderboard, gate and report need. It is plain JSON without NaN:
what is not known is null, and null is never read as zero.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import median
from typing import Any

import numpy as np

from selfe_eval.errors import UntrustworthyError
from selfe_eval.metrics import is_of_openmoji
from selfe_eval.provenance import json_sha256
from selfe_eval.records import ImageKey, Prompt, Suite
from selfe_eval.report.outcomes import ImageOutcome, outcome_panel, scored_at
from selfe_eval.report.per_prompt import per_prompt_estimates
from selfe_eval.report.reasons import reason_histogram
from selfe_eval.report.sensitivity import Sensitivity, sensitivity
from selfe_eval.runs.run import RunRecord
from selfe_eval.runs.scores import protocol_of
from selfe_eval.stats.drawdown import MonotonicityVerdict, drawdown_verdict
from selfe_eval.stats.estimate import METHOD, Estimate, macro_estimate, task_estimates
from selfe_eval.stats.panel import Panel

SCHEMA_VERSION = 2
"""Of ``summary.json``. Another number is refused, never guessed at."""

METRIC = "geneval"
"""Name of the metric with its own judge, and of the journal of scores; see `metric_name`."""

_JUDGE = (("variant", "detector", "openmoji"), ("color_variant", "color_model", "openmoji-clip"))
"""Of each part of a judge: the key of its variant, the key of its name, and the bundled one's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NearTies:
    """How much rests on colours that rounding could have decided otherwise."""

    images: int
    """Number of scored images with such a colour."""
    of: int
    """Number of scored images whose verdict asked for a colour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The scores at one step count."""

    steps: int
    """Number of sampling steps."""
    nfe: int | None
    """Network evaluations an image; None for images that somebody else made."""
    overall: Estimate
    """GenEval's overall score: mean over tasks of the mean over images."""
    tasks: Mapping[str, Estimate]
    """The six tasks."""
    seen: Estimate | None
    """Prompts without a held-out combination, over the tasks that have both kinds; None where none has."""
    unseen: Estimate | None
    """Prompts with a combination held out of training, over the same tasks."""
    seconds_per_image: float | None
    """Median wall time of an image, generation only, warm-up left out; None where unknown."""
    reasons: Mapping[str, int]
    """Number of failed images by kind of reason."""
    per_prompt: Mapping[str, Estimate]
    """``any``, ``mean`` and ``all``: see `per_prompt_estimates`."""
    sensitivity: Sensitivity | None
    """The scores at other thresholds; None where they are not known."""
    near_ties: NearTies
    """Colours that could have come out otherwise."""
    num_empty: int
    """Scored images in which the detector was sure of nothing at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All numbers of a run, and what they rest on."""

    model: str
    """Name of the model."""
    suite: str
    """Name of the suite."""
    suite_sha256: str
    """Of the suite's metadata lines."""
    partial: bool
    """True where prompts were left out or images are missing: barred from leaderboard and gate."""
    num_prompts: int
    """Number of prompts the run covers."""
    images_per_prompt: int
    """Planned images of each prompt at each step count."""
    detector: str
    """Registry name of the detector."""
    scorer: Mapping[str, Any]
    """What the scorer says of itself (weights, thresholds, colour model), without the machine it ran on."""
    spec_sha256: str
    """Of what the run was asked to do."""
    method: str
    """How the estimates were made."""
    rows: tuple[Row, ...]
    """By ascending step count."""
    verdict: MonotonicityVerdict
    """Does quality rise with the step count?"""

    @property
    def metric(self) -> str:
        """What the scores are scores of."""
        return metric_name(self.suite, self.scorer)

    @property
    def scorer_sha256(self) -> str:
        """Of ``scorer``: equal where two runs were judged alike."""
        return json_sha256(self.scorer)

    def as_json(self) -> dict[str, Any]:
        """The document ``summary.json``."""
        return {
            "schema_version": SCHEMA_VERSION,
            "metric": self.metric,
            "scorer_sha256": self.scorer_sha256,
            **asdict(self),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Summary:
        """Read the document ``summary.json``.

        Raises:
            UntrustworthyError: Another schema version, or fields that are missing or of the wrong kind.
        """
        if document.get("schema_version") != SCHEMA_VERSION:
            raise UntrustworthyError(
                f"Expected a summary with schema_version {SCHEMA_VERSION}, found "
                f"{document.get('schema_version')!r}. Summarise the run again with `selfe-eval summarise RUN`."
            )
        try:
            plain = {field.name: document[field.name] for field in fields(cls)}
            plain["rows"] = tuple(_row(row) for row in document["rows"])
            plain["verdict"] = verdict_from_json(document["verdict"])
            summary = cls(**plain)
            for name, computed in (("metric", summary.metric), ("scorer_sha256", summary.scorer_sha256)):
                if document[name] != computed:
                    raise ValueError(f"{name} {document[name]!r}")  # noqa: TRY301 - joins the other damage
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise UntrustworthyError(
                f"The summary lacks or garbles a field: {type(error).__name__} {error}. It was edited, or "
                "written by another version. Summarise the run again with `selfe-eval summarise RUN`."
            ) from error
        return summary


def metric_name(suite: str, scorer: Mapping[str, Any]) -> str:
    """``geneval``, or ``geneval[<variant>]`` where another detector or colour model than the suite's own judged.

    Args:
        suite: Name of the suite. The bundled judge is the own one of the openmoji world alone.
        scorer: A scorer's description of itself; ``variant`` is its detector's and ``color_variant`` its colour
            model's, absent or null where it is the official or the bundled one.

    >>> metric_name("geneval", {"variant": "hf-weights", "color_variant": "own-colors"})
    'geneval[hf-weights+own-colors]'
    >>> metric_name("openmoji", {"detector": "openmoji"}), metric_name("geneval", {"detector": "openmoji"})
    ('geneval', 'geneval[openmoji]')
    """
    variants = []
    for variant, part, bundled in _JUDGE:
        if scorer.get(variant):
            variants.append(scorer[variant])
        elif scorer.get(part) == bundled and not is_of_openmoji(suite):
            variants.append(bundled)
    return f"{METRIC}[{'+'.join(variants)}]" if variants else METRIC


def summary_bytes(summary: Summary) -> bytes:
    """The content of ``summary.json``; NaN cannot be serialised."""
    return json.dumps(summary.as_json(), indent=2, allow_nan=False).encode() + b"\n"


def summarise(
    record: RunRecord,
    suite: Suite,
    outcomes: Mapping[ImageKey, ImageOutcome],
    *,
    seconds: Mapping[ImageKey, float | None],
    scorer: Mapping[str, Any],
) -> Summary:
    """All numbers of a run.

    Args:
        record: What was asked.
        suite: Its prompts.
        outcomes: What was scored. A planned image without a score makes the run partial.
        seconds: Wall time of each image, None where it was not measured.
        scorer: The scorer's description of itself.
    """
    planned = frozenset(record.prompt_ids)
    prompts = tuple(prompt for prompt in suite.prompts if prompt.prompt_id in planned)
    spec = record.spec
    panel = outcome_panel(
        [scored_at(outcomes, steps) for steps in spec.steps], prompts, spec.images_per_prompt
    )
    rows = tuple(
        Row(
            steps=steps,
            nfe=record.nfe.get(steps),
            overall=macro_estimate(column),
            tasks=task_estimates(column),
            seen=split[0],
            unseen=split[1],
            seconds_per_image=_median_seconds(seconds, steps),
            reasons=reason_histogram(own),
            per_prompt=per_prompt_estimates(column),
            sensitivity=sensitivity(own, prompts, spec.images_per_prompt),
            near_ties=_near_ties(own),
            num_empty=sum(outcome.correct is not None and not outcome.num_objects for outcome in own),
        )
        for steps, column in ((steps, panel.column(index)) for index, steps in enumerate(spec.steps))
        for own in [[outcome for outcome in outcomes.values() if outcome.key.steps == steps]]
        for split in [_seen_and_unseen(column, prompts, suite.unseen)]
    )
    num_planned = len(prompts) * spec.images_per_prompt * len(spec.steps)
    num_scored = sum(outcome.correct is not None for outcome in outcomes.values())
    return Summary(
        model=spec.model,
        suite=suite.name,
        suite_sha256=suite.sha256,
        partial=record.partial or len(prompts) < len(suite.prompts) or num_scored < num_planned,
        num_prompts=len(prompts),
        images_per_prompt=spec.images_per_prompt,
        detector=spec.detector,
        scorer=protocol_of(scorer),
        spec_sha256=spec.sha256,
        method=METHOD,
        rows=rows,
        verdict=drawdown_verdict(panel, spec.steps),
    )


def _seen_and_unseen(
    column: Panel, prompts: Sequence[Prompt], unseen: frozenset[int]
) -> tuple[Estimate | None, Estimate | None]:
    """Both over the tasks that have both kinds, so that the two are averages of the same tasks."""
    held_out = [prompt.prompt_id in unseen for prompt in prompts]
    kinds = {prompt.task: set[bool]() for prompt in prompts}
    for prompt, is_held_out in zip(prompts, held_out, strict=True):
        kinds[prompt.task].add(is_held_out)
    both = [len(kinds[prompt.task]) == 2 for prompt in prompts]
    if not any(both):
        return None, None
    shares = [
        macro_estimate(
            column.prompts(np.array([b and h == kind for b, h in zip(both, held_out, strict=True)]))
        )
        for kind in (False, True)
    ]
    return shares[0], shares[1]


def _near_ties(outcomes: Sequence[ImageOutcome]) -> NearTies:
    scored = [outcome for outcome in outcomes if outcome.correct is not None and outcome.num_colors]
    return NearTies(images=sum(outcome.near_ties > 0 for outcome in scored), of=len(scored))


def _median_seconds(seconds: Mapping[ImageKey, float | None], steps: int) -> float | None:
    known = [value for key, value in seconds.items() if key.steps == steps and value is not None]
    return median(known) if known else None


def estimate_from_json(document: Mapping[str, Any]) -> Estimate:
    """Read an estimate back. Raises KeyError or TypeError where a field is missing or unknown."""
    ci = document["ci"]
    return Estimate(**{**document, "ci": None if ci is None else (float(ci[0]), float(ci[1]))})


def verdict_from_json(document: Mapping[str, Any]) -> MonotonicityVerdict:
    """Read a verdict back. Raises KeyError or TypeError where a field is missing or unknown."""
    pair = document["worst_pair"]
    return MonotonicityVerdict(**{**document, "worst_pair": None if pair is None else (pair[0], pair[1])})


def _row(document: Mapping[str, Any]) -> Row:
    estimates = {
        name: None if document[name] is None else estimate_from_json(document[name])
        for name in ("overall", "seen", "unseen")
    }
    groups = {
        name: {key: estimate_from_json(value) for key, value in document[name].items()}
        for name in ("tasks", "per_prompt")
    }
    curves = document["sensitivity"]
    plain = {
        "sensitivity": None if curves is None else Sensitivity.from_json(curves),
        "near_ties": NearTies(**document["near_ties"]),
    }
    return Row(**{**document, **estimates, **groups, **plain})
