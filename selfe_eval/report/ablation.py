"""The table of an ablation: variants that were trained under one budget, scored at each step count.

With several seeds a score is the mean over them, its interval clustered by prompt over the images of all of them: it
speaks of the prompts, for these trainings. How much another training would differ is what the deviation over seeds says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

from selfe_eval.records import Prompt, Suite
from selfe_eval.report import cells as text
from selfe_eval.report.ablation_measures import measure_numbers, measures_notes, measures_tables
from selfe_eval.report.ablation_variant import TrainedVariant
from selfe_eval.report.experiment import ExperimentReport, TextTable
from selfe_eval.report.leaderboard import PARTIAL_NOTE, caption
from selfe_eval.report.outcomes import outcome_panel, scored_at
from selfe_eval.report.published_ablations import PublishedAblation, ablations_table
from selfe_eval.report.scored_run import ScoredRun
from selfe_eval.stats.drawdown import ALPHA
from selfe_eval.stats.estimate import Z_TWO_SIDED, Estimate, macro_estimate
from selfe_eval.stats.paired import Difference, holm, paired_difference

SCHEMA_VERSION = 1
"""Of the document of ``ablate --json``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """Time of a step relative to the baseline's."""

    value: float
    """1 for the baseline."""
    se: float | None
    """Standard error, by the delta method over logged stretches; None where one of the two has fewer than two."""
    n: tuple[int, int]
    """Logged stretches: of this variant, of the baseline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A variant at one step count."""

    steps: int
    """Number of sampling steps."""
    overall: Estimate
    """Over the images of all seeds."""
    by_seed: tuple[float | None, ...]
    """One for each seed."""
    against: Difference | None
    """This variant minus the baseline, paired by seed, prompt and image; None for the baseline, or without one."""
    p_adjusted: float | None
    """Holm's p over all variants and step counts."""

    @property
    def seed_deviation(self) -> float | None:
        """Standard deviation over seeds; None where fewer than two have a score."""
        known = [value for value in self.by_seed if value is not None]
        return stdev(known) if len(known) > 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """All variants of an ablation, against the baseline where it is among them."""

    variants: tuple[TrainedVariant, ...]
    """In the order asked for; at least one."""
    baseline: str | None
    """Name of the variant that differences and step times refer to."""
    scores: Mapping[str, tuple[Score, ...]]
    """Variant -> by ascending step count."""
    step_times: Mapping[str, Ratio | None]
    """Variant -> relative to the baseline; None without one."""


def ablation_of(variants: Sequence[TrainedVariant], suite: Suite, *, baseline: str) -> Ablation:
    """Pool the seeds of every variant and compare each with the baseline, where that is among them."""
    by_name = {variant.name: variant for variant in variants}
    base = by_name.get(baseline)
    prompts = [p for p in suite.prompts if p.prompt_id in variants[0].runs[0].prompt_ids]
    steps = [row.steps for row in variants[0].runs[0].summary.rows]
    differences = {
        (variant.name, count): _difference(base, variant, prompts, count)
        for variant in variants
        for count in steps
        if base is not None and variant.name != baseline
    }
    known = {place: d.p for place, d in differences.items() if d.p is not None}
    adjusted = dict(zip(known, holm(list(known.values())), strict=True))
    return Ablation(
        variants=tuple(variants),
        baseline=None if base is None else baseline,
        scores={
            name: tuple(
                Score(
                    steps=count,
                    overall=macro_estimate(
                        outcome_panel([_pooled(variant, count)], prompts, _num_images(variant))
                    ),
                    by_seed=tuple(_value(run, count) for run in variant.runs),
                    against=differences.get((name, count)),
                    p_adjusted=adjusted.get((name, count)),
                )
                for count in steps
            )
            for name, variant in by_name.items()
        },
        step_times={
            name: None if base is None else _relative(variant, base) for name, variant in by_name.items()
        },
    )


def _relative(variant: TrainedVariant, base: TrainedVariant) -> Ratio | None:
    if variant.name == base.name:
        return Ratio(value=1.0, se=0.0, n=(len(base.step_seconds), len(base.step_seconds)))
    return time_ratio(variant.step_seconds, base.step_seconds)


def time_ratio(own: Sequence[float], baseline: Sequence[float]) -> Ratio | None:
    """Mean of one list over the mean of the other; None where one is empty.

    >>> time_ratio([2.0, 2.0], [1.0, 1.0])
    Ratio(value=2.0, se=0.0, n=(2, 2))
    """
    if not own or not baseline:
        return None
    value = fmean(own) / fmean(baseline)
    se = None
    if min(len(own), len(baseline)) > 1:
        shares = [stdev(times) / fmean(times) / math.sqrt(len(times)) for times in (own, baseline)]
        se = value * math.hypot(*shares)
    return Ratio(value=value, se=se, n=(len(own), len(baseline)))


def ablation_report(
    ablation: Ablation, budget: Mapping[str, Any], published: Sequence[PublishedAblation]
) -> ExperimentReport:
    """Scores, differences to the baseline, the other metrics, cost, and what the paper prints."""
    tables = [_score_table(ablation)]
    if ablation.baseline is not None and len(ablation.variants) > 1:
        tables.append(_difference_table(ablation))
    tables += [*measures_tables(ablation.variants), _cost_table(ablation), ablations_table(published)]
    return ExperimentReport(
        tables=tuple(tables),
        notes=_notes(ablation, budget, published),
        document=_document(ablation, budget, published),
        records=tuple(record for variant in ablation.variants for record in _records(ablation, variant)),
    )


def _pooled(variant: TrainedVariant, steps: int) -> dict[tuple[int, int], bool]:
    """(prompt_id, image over all seeds) -> correct."""
    images = variant.runs[0].summary.images_per_prompt
    return {
        (prompt_id, number * images + image): correct
        for number, run in enumerate(variant.runs)
        for (prompt_id, image), correct in scored_at(run.outcomes, steps).items()
    }


def _num_images(variant: TrainedVariant) -> int:
    return len(variant.runs) * variant.runs[0].summary.images_per_prompt


def _difference(
    base: TrainedVariant, variant: TrainedVariant, prompts: Sequence[Prompt], steps: int
) -> Difference:
    first, second = _pooled(base, steps), _pooled(variant, steps)
    common = first.keys() & second.keys()
    columns = [{key: scores[key] for key in common} for scores in (first, second)]
    return paired_difference(outcome_panel(columns, prompts, _num_images(base)))


def _value(run: ScoredRun, steps: int) -> float | None:
    return next(row.overall.value for row in run.summary.rows if row.steps == steps)


def _step_headings(ablation: Ablation) -> tuple[str, ...]:
    counts = [score.steps for score in ablation.scores[ablation.variants[0].name]]
    return tuple(f"{count} step{'s' if count > 1 else ''}" for count in counts)


def _score_table(ablation: Ablation) -> TextTable:
    def shown(score: Score) -> str:
        deviation = score.seed_deviation
        spread = "" if deviation is None else f" ({100 * deviation:.1f})"
        return text.value_and_half_width(score.overall) + spread

    several = len(ablation.variants[0].seeds) > 1
    over_seeds = ", mean over seeds (in brackets their standard deviation)" if several else ""
    return TextTable(
        title=f"Per cent of images correct, ± half of a 95 % interval{over_seeds}",
        headings=("variant", *_step_headings(ablation)),
        rows=tuple((name, *map(shown, scores)) for name, scores in ablation.scores.items()),
    )


def _difference_table(ablation: Ablation) -> TextTable:
    def shown(score: Score) -> str:
        mark = "" if score.p_adjusted is None or score.p_adjusted >= ALPHA else " *"
        return text.DASH if score.against is None else text.signed_points(score.against) + mark

    return TextTable(
        title=f"Difference to {ablation.baseline} in percentage points, paired (* Holm-adjusted p below {ALPHA})",
        headings=("variant", *_step_headings(ablation)),
        rows=tuple(
            (name, *map(shown, scores))
            for name, scores in ablation.scores.items()
            if name != ablation.baseline
        ),
    )


def _cost_table(ablation: Ablation) -> TextTable:
    rows = []
    for variant in ablation.variants:
        ratio = ablation.step_times[variant.name]
        rows.append(
            (
                variant.name,
                text.seconds(fmean(variant.train_seconds)),
                text.DASH if not variant.step_seconds else f"{1000 * fmean(variant.step_seconds):.3g}",
                "1"
                if variant.name == ablation.baseline
                else text.DASH
                if ratio is None
                else _ratio_text(ratio),
                str(len(variant.step_seconds)),
            )
        )
    return TextTable(
        title=f"Cost of a training; time of a step relative to {ablation.baseline or 'flow_matching, which is not here'}",
        headings=("variant", "seconds", "ms a step", "relative", "stretches"),
        rows=tuple(rows),
    )


def _ratio_text(ratio: Ratio) -> str:
    half = "?" if ratio.se is None else f"{Z_TWO_SIDED * ratio.se:.2f}"
    return f"{ratio.value:.2f} ±{half}"


def _notes(
    ablation: Ablation, budget: Mapping[str, Any], published: Sequence[PublishedAblation]
) -> tuple[str, ...]:
    summary = ablation.variants[0].runs[0].summary
    sources = "; ".join(dict.fromkeys(row.reference for row in published))
    notes = [PARTIAL_NOTE] if summary.partial else []
    notes.append(caption(summary))
    notes.append(_budget_sentence(ablation, budget))
    if budget["is_smoke"]:
        notes.append(
            "A smoke test: the network is the smallest one and hardly trained. It shows that everything runs, nothing else."
        )
    notes.append(
        f"† published ({sources}), not measured here: the paper's 0.5B model at 256 px on GenEval's own prompts and detector, "
        "without interval. Only the order of its own rows can be held beside the order of ours."
    )
    notes += [*_warnings(ablation), *measures_notes(ablation.variants)]
    return tuple(notes)


def _budget_sentence(ablation: Ablation, budget: Mapping[str, Any]) -> str:
    warm = budget["warm_start_steps"]
    warm_text = f", the first {warm} of them flow matching for all" if warm else ", without a warm start"
    seeds = ", ".join(map(str, ablation.variants[0].seeds))
    return (
        f"One budget for all: {budget['num_steps']} steps of {budget['batch_size']} images{warm_text}; {budget['num_scenes']} "
        f"distinct scenes; training seeds {seeds}. Network, data, optimiser and noise of the images drawn are the same; each "
        "variant is sampled as its objective is meant to be (see its checkpoint's config.json)."
    )


def _warnings(ablation: Ablation) -> list[str]:
    found = []
    all_scores = [score for scores in ablation.scores.values() for score in scores]
    if any(score.overall.se is None for score in all_scores):
        found.append(
            "±?: a task has fewer than two prompts, too few for an interval; raise --limit or leave it out."
        )
    if len(ablation.variants[0].seeds) == 1:
        found.append(
            "One training of each variant: the intervals speak of prompts and images, not of what another training would "
            "give. Ask for several --seeds to see that."
        )
    else:
        found.append(
            f"Intervals and stars speak of prompts and images, for these {len(ablation.variants[0].seeds)} trainings of each "
            "variant; how much trainings differ is the deviation over seeds, and they do not contain it."
        )
    if any(len(variant.step_seconds) < 2 for variant in ablation.variants):
        found.append(
            "relative ±?: fewer than two logged stretches of steps, too few to say how sure a step time is."
        )
    return found


def _document(
    ablation: Ablation, budget: Mapping[str, Any], published: Sequence[PublishedAblation]
) -> dict[str, Any]:
    summary = ablation.variants[0].runs[0].summary
    return {
        "schema_version": SCHEMA_VERSION,
        "suite": summary.suite,
        "metric": summary.metric,
        "partial": summary.partial,
        "budget": dict(budget),
        "baseline": ablation.baseline,
        "variants": [_variant(ablation, variant) for variant in ablation.variants],
        "published": [
            {
                "model": row.model,
                "iterations": row.iterations,
                "overall": {str(steps): share for steps, share in row.overall.items()},
                "reference": row.reference,
                "source": "published",
            }
            for row in published
        ],
        "notes": list(_notes(ablation, budget, published)),
    }


def _variant(ablation: Ablation, variant: TrainedVariant) -> dict[str, Any]:
    ratio = ablation.step_times[variant.name]
    return {
        "variant": variant.name,
        "objective": variant.objective,
        "seeds": list(variant.seeds),
        "runs": list(variant.folders),
        "train_seconds": list(variant.train_seconds),
        "step_seconds": list(variant.step_seconds),
        "relative_step_time": None if ratio is None else asdict(ratio),
        "rows": [
            {
                "steps": score.steps,
                "overall": asdict(score.overall),
                "by_seed": list(score.by_seed),
                "seed_deviation": score.seed_deviation,
                "against_baseline": None if score.against is None else asdict(score.against),
                "p_adjusted": score.p_adjusted,
            }
            for score in ablation.scores[variant.name]
        ],
        "measures": [
            {
                "metric": number.measure.metric,
                "protocol": number.measure.protocol_sha256,
                "seed": number.seed,
                "steps": number.row.steps,
                "overall": asdict(number.row.overall),
            }
            for number in measure_numbers(variant)
        ],
    }


def _records(ablation: Ablation, variant: TrainedVariant) -> list[dict[str, Any]]:
    """GenEval over all seeds at each step count, then the other metrics of each training."""
    geneval = variant.runs[0].summary.metric
    return [
        *(
            _record(ablation, variant, geneval, score.steps, score.overall) | _score_record(score)
            for score in ablation.scores[variant.name]
        ),
        *(
            _record(ablation, variant, number.measure.metric, number.row.steps, number.row.overall)
            | {"seed": number.seed}
            for number in measure_numbers(variant)
        ),
    ]


def _record(
    ablation: Ablation, variant: TrainedVariant, metric: str, steps: int, overall: Estimate
) -> dict[str, Any]:
    """What is known of every number; the other cells are empty."""
    ratio, summary = ablation.step_times[variant.name], variant.runs[0].summary
    low, high = overall.ci or (None, None)
    return {
        "variant": variant.name,
        "objective": variant.objective,
        "suite": summary.suite,
        "partial": summary.partial,
        "num_seeds": len(variant.seeds),
        "seed": None,
        "metric": metric,
        "steps": steps,
        "value": overall.value,
        "se": overall.se,
        "ci_low": low,
        "ci_high": high,
        "n": overall.n,
        "n_clusters": overall.n_clusters,
        "seed_deviation": None,
        "delta": None,
        "delta_low": None,
        "delta_high": None,
        "p_adjusted": None,
        "train_seconds": fmean(variant.train_seconds),
        "relative_step_time": None if ratio is None else ratio.value,
        "relative_step_time_se": None if ratio is None else ratio.se,
    }


def _score_record(score: Score) -> dict[str, Any]:
    against = score.against
    low, high = (None, None) if against is None or against.ci is None else against.ci
    return {
        "seed_deviation": score.seed_deviation,
        "delta": None if against is None else against.delta,
        "delta_low": low,
        "delta_high": high,
        "p_adjusted": score.p_adjusted,
    }
