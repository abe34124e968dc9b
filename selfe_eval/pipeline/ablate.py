"""Train the variants of the paper's Table 2 (and two other any-step objectives) under one budget, and measure them alike.

Files: ``ablate.json`` (the plan, written first), ``training/VARIANT-seed-N/`` (state, metrics, samples and ``checkpoint``;
``training/latents`` and ``training/warm-start-seed-N`` are shared), ``runs/VARIANT-seed-N/`` (ordinary run folders) and
``result.json`` (the document of ``--json``). What is trained is not trained again, and what is measured is not measured again.
A later command may ask the same folder for more trainings or for fewer: those that it leaves out stay where they are. To
measure trainings in another way, copy ``training`` into a new folder first.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfe_eval.errors import UsageError, unknown_name
from selfe_eval.generate.checkpoints import find_checkpoint
from selfe_eval.pipeline.experiment import RUNS_FOLDER, measure_checkpoint, planned_experiment
from selfe_eval.pipeline.instruments import Bench, Instruments, instruments_at_hand
from selfe_eval.pipeline.jobs import CheckpointJob
from selfe_eval.pipeline.plan import select_prompts
from selfe_eval.pipeline.progress import Progress
from selfe_eval.pipeline.score import Scorer
from selfe_eval.records import Suite
from selfe_eval.report.ablation import ablation_of, ablation_report
from selfe_eval.report.ablation_variant import TrainedVariant
from selfe_eval.report.experiment import ExperimentReport
from selfe_eval.report.published_ablations import published_ablations
from selfe_eval.runs.atomic import atomic_write_json
from selfe_eval.runs.measures import MeasureOptions
from selfe_eval.train.budget import PAPER_ANNEAL_END, PAPER_AUX_START, PAPER_STEPS, Budget

PLAN_FILE = "ablate.json"
RESULT_FILE = "result.json"
TRAINING_FOLDER = "training"
TRAININGS = "trainings"
"""The entry of the plan that grows."""
BASELINE = "flow_matching"
"""What differences and step times refer to where nobody says otherwise, if it is among the variants."""
DETECTOR = "openmoji"
"""Of the openmoji suite, for which the tiny network is trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One row of the table of variants."""

    objective: str
    """The objective's text; ``{anneal}`` and ``{late}`` stand for steps at the paper's shares of the training,
    counted after the warm start."""
    about: str
    """What it shows."""


_TABLE_2 = {
    "flow_matching": Variant(objective="flow_matching", about="the baseline: s = t only"),
    "imm": Variant(objective="imm", about="inductive moment matching (2503.07565)"),
    "meanflow": Variant(objective="meanflow", about="average velocities (2505.13447); not in the paper"),
    "shortcut": Variant(objective="shortcut", about="two steps in one (2410.12557); not in the paper"),
    "self_e": Variant(objective="self_e:anneal_steps={anneal}", about="Self-E as the paper trains it"),
    "self_e-convex": Variant(
        objective="self_e:anneal_steps={anneal},target=convex", about="without target normalisation (Eq. 18)"
    ),
    "self_e-eq16": Variant(
        objective="self_e:anneal_steps={anneal},target=eq16", about="the hybrid loss itself (Eq. 16)"
    ),
    "self_e-aux": Variant(
        objective="self_e:anneal_steps={anneal},aux_start=0", about="the auxiliary term from the start"
    ),
    "self_e-aux-late": Variant(
        objective="self_e:anneal_steps={anneal},aux_start={late}", about="the auxiliary term from 77 % on"
    ),
}
_OURS = {
    "self_e-later-s": Variant(
        objective="self_e:anneal_steps={anneal},evaluation_time=0.3",
        about="evaluated at max(s, 0.3), weighted as at s (open question 5)",
    ),
    "self_e-noise": Variant(
        objective="self_e:anneal_steps={anneal},noise_share=0.15",
        about="15 % of the rows at t = 1 (open question 2)",
    ),
    "self_e-equal": Variant(
        objective="self_e:anneal_steps={anneal},equal_delta=true",
        about="all Deltas of one length (open question 3)",
    ),
    "self_e-meanflow": Variant(
        objective="self_e_meanflow:anneal_steps={anneal}",
        about="half of the rows MeanFlow's (open question 2)",
    ),
    "self_e-noise-eq16": Variant(
        objective="self_e:anneal_steps={anneal},target=eq16,noise_share=0.15",
        about="15 % of the rows at t = 1, and the hybrid loss itself",
    ),
}
VARIANTS = _TABLE_2 | _OURS
"""Name -> objective: the variants of Table 2, two more any-step objectives, and what is ours."""
TABLE_2 = tuple(_TABLE_2)
"""What is trained where nobody names variants."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AblationPlan:
    """What to train and how to score it."""

    variants: tuple[str, ...]
    """Names in VARIANTS, in the order to train and show them."""
    seeds: tuple[int, ...]
    """Of the trainings; every variant is trained with each."""
    budget: Budget
    """What every training gets."""
    suite: Suite
    """The prompts."""
    steps: tuple[int, ...]
    """Step counts of the sampler, ascending."""
    images_per_prompt: int
    """Images of each prompt at each step count, from each training."""
    limit: int | None
    """At most so many prompts."""

    def objective(self, variant: str) -> str:
        """The objective's text: the paper's shares of a training, here of the steps after the warm start."""
        steps = self.budget.num_steps - self.budget.warm_start_steps
        anneal, late = (round(steps * at / PAPER_STEPS) for at in (PAPER_ANNEAL_END, PAPER_AUX_START))
        return VARIANTS[variant].objective.format(anneal=anneal, late=late)

    def as_json(self) -> dict[str, Any]:
        """Everything that decides the result, as ``ablate.json`` has it: what all trainings share, and the trainings."""
        return {
            "experiment": "ablate",
            "budget": self.budget.as_json(),
            "suite": self.suite.name,
            "suite_sha256": self.suite.sha256,
            "steps": list(self.steps),
            "images_per_prompt": self.images_per_prompt,
            "limit": self.limit,
            "num_prompts": len(select_prompts(self.suite, self.limit)),
            "image_seed": 0,
            "detector": DETECTOR,
            TRAININGS: {
                _title(name, seed): self.objective(name) for name in self.variants for seed in self.seeds
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Who is told what is going on."""

    training: Callable[[], AbstractContextManager[Callable[[str, int, int, dict[str, float]], None]]]
    """Opens a display of one training, to be told (what is being done, done, total, latest metrics)."""
    progress: Progress
    """Told about every batch that is drawn or looked at."""
    announce: Callable[[str], None]
    """Told which training comes next, and what cannot be measured."""


def check_variants(names: tuple[str, ...], baseline: str | None = None) -> None:
    """See that there are such variants.

    Args:
        names: The variants to train.
        baseline: Which of them the others are compared with, where somebody said it.

    Raises:
        UsageError: a name is unknown or is there twice, or the baseline is not among them.
    """
    for name in names:
        if name not in VARIANTS:
            raise unknown_name("variant", name, VARIANTS)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UsageError(f"--variants: give each variant once; repeated: {', '.join(repeated)}.")
    if baseline is not None and baseline not in names:
        raise UsageError(
            f"--baseline {baseline}: expected one of the variants of this command ({', '.join(names)}). Name it in --variants "
            "too, or choose one of these."
        )


def run_ablation(
    plan: AblationPlan,
    folder: Path,
    *,
    baseline: str,
    device: str,
    load_scorer: Callable[[], Scorer],
    listener: Listener,
) -> ExperimentReport:
    """Train and measure what is missing, and put the tables together.

    Args:
        plan: What to do.
        folder: Where to; made if missing.
        baseline: What differences refer to, where it is among the variants; no part of the plan.
        device: A torch device.
        load_scorer: Called once, after the folder has been seen to take files.
        listener: Told what is going on.

    Raises:
        UsageError: an objective does not fit the budget, or the folder holds something else.
        UntrustworthyError: planned images are left without a score.
    """
    from selfe_eval.train.ablation import tiny_training

    trainings = {
        (name, seed): tiny_training(_title(name, seed), plan.objective(name), plan.budget, seed)
        for name in plan.variants
        for seed in plan.seeds
    }
    with planned_experiment(folder, PLAN_FILE, plan.as_json(), growing=TRAININGS, takes=(TRAINING_FOLDER,)):
        instruments = _instruments(plan, device, load_scorer(), listener.progress)
        for metric, reason in instruments.not_measured.items():
            listener.announce(f"{metric} is not measured: {reason}")
        from selfe_eval.train.ablation import train_variant

        notices: dict[str, None] = {}
        for number, ((name, seed), training) in enumerate(trainings.items(), start=1):
            title = _title(name, seed)
            listener.announce(f"{number} of {len(trainings)}: {title} ({plan.objective(name)})")
            with listener.training() as on_phase:
                checkpoint = train_variant(
                    training, folder / TRAINING_FOLDER / title, device=device, on_phase=on_phase
                )
            job = _job(plan, checkpoint, device)
            made = measure_checkpoint(job, folder / RUNS_FOLDER / title, instruments, listener.progress)
            notices |= dict.fromkeys(made.notices)
        for notice in notices:
            listener.announce(notice)
        report = read_ablation(plan, folder, baseline)
        atomic_write_json(folder / RESULT_FILE, report.document)
    return report


def read_ablation(plan: AblationPlan, folder: Path, baseline: str) -> ExperimentReport:
    """The tables of a folder whose trainings and runs are all complete.

    Args:
        plan: Which of them.
        folder: Where they are.
        baseline: What differences refer to, where it is among the variants.

    Raises:
        UntrustworthyError: a run is not.
    """
    variants = [_trained(plan, folder, name) for name in plan.variants]
    ablation = ablation_of(variants, plan.suite, baseline=baseline)
    return ablation_report(ablation, plan.budget.as_json(), published_ablations())


def _instruments(plan: AblationPlan, device: str, scorer: Scorer, progress: Progress) -> Instruments:
    """GenEval's judge, and what every other metric needs that can be measured here: the same for all variants."""
    bench = Bench(
        suite=plan.suite,
        options=MeasureOptions(),
        num_prompts=len(select_prompts(plan.suite, plan.limit)),
        images_per_prompt=plan.images_per_prompt,
        device=device,
        load_scorer=lambda: scorer,
    )
    return instruments_at_hand(bench, progress)


def _trained(plan: AblationPlan, folder: Path, name: str) -> TrainedVariant:
    from selfe_eval.report.measures_file import read_measures
    from selfe_eval.report.scored_run import read_scored_run
    from selfe_eval.train.ablation import training_cost

    titles = [_title(name, seed) for seed in plan.seeds]
    folders = [folder / RUNS_FOLDER / title for title in titles]
    found = [read_measures(run, allow_partial=True) for run in folders]
    costs = [
        training_cost(folder / TRAINING_FOLDER / title, warm_start_steps=plan.budget.warm_start_steps)
        for title in titles
    ]
    return TrainedVariant(
        name=name,
        objective=plan.objective(name),
        seeds=plan.seeds,
        runs=tuple(read_scored_run(run, allow_partial=True) for run in folders),
        measures=tuple(() if one is None else one.measures for one in found),
        folders=tuple(map(str, folders)),
        train_seconds=tuple(cost.seconds for cost in costs),
        step_seconds=tuple(seconds for cost in costs for seconds in cost.step_seconds),
    )


def _job(plan: AblationPlan, checkpoint: Path, device: str) -> CheckpointJob:
    return CheckpointJob(
        checkpoint=find_checkpoint(str(checkpoint)),
        suite=plan.suite,
        steps=plan.steps,
        images_per_prompt=plan.images_per_prompt,
        limit=plan.limit,
        detector=DETECTOR,
        device=device,
    )


def _title(variant: str, seed: int) -> str:
    return f"{variant}-seed-{seed}"
