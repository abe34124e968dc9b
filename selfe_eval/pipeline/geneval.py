"""The main job: plan a run for a checkpoint, or open one, and take it through the stages that are left."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from selfe_eval.devices import resolve_device
from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.generate.checkpoints import CheckpointFolder, find_checkpoint, verify_checkpoint
from selfe_eval.generate.overrides import SamplerOverrides
from selfe_eval.generate.protocol import Generator
from selfe_eval.pipeline.found_images import NO_STEPS, FoundImages, find_images, record_images
from selfe_eval.pipeline.generate import generate
from selfe_eval.pipeline.own_prompts import read_prompts
from selfe_eval.pipeline.plan import select_prompts
from selfe_eval.pipeline.progress import Progress
from selfe_eval.pipeline.score import Scorer, score
from selfe_eval.pipeline.summarise import num_unscored, summarise
from selfe_eval.records import Suite
from selfe_eval.report.summary import Summary
from selfe_eval.runs.judge import JudgeOptions
from selfe_eval.runs.run import Run, RunRecord
from selfe_eval.runs.spec import RunSpec

BATCH_SIZE = 64
"""Images drawn together by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointJob:
    """What a caller asks of a checkpoint."""

    checkpoint: CheckpointFolder
    """The model."""
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
    """Changes to the checkpoint's sampler."""
    detector: str = "openmoji"
    """Registry name of the detector."""
    judge: JudgeOptions = field(default_factory=JudgeOptions)
    """The judge's files."""
    device: str = "auto"
    """Where to compute."""
    batch_size: int = BATCH_SIZE
    """Images drawn together."""

    def record(self) -> RunRecord:
        """The run that answers it."""
        spec = RunSpec(
            suite=self.suite.name,
            suite_sha256=self.suite.sha256,
            source="checkpoint",
            model=self.checkpoint.name,
            checkpoint_sha256=self.checkpoint.sha256,
            steps=self.steps,
            images_per_prompt=self.images_per_prompt,
            limit=self.limit,
            seed=self.seed,
            **asdict(self.overrides),
            detector=self.detector,
            batch_size=self.batch_size,
        )
        prompt_ids = select_prompts(self.suite, self.limit)
        return RunRecord(
            spec=spec,
            prompt_ids=prompt_ids,
            partial=len(prompt_ids) < len(self.suite.prompts),
            checkpoint=self.checkpoint.reference,
            device=self.device,
            judge=self.judge,
        )


def continue_run(run: Run, scorer: Scorer, progress: Progress) -> Summary:
    """Take a run, of a model or of found images, through the stages that GenEval needs.

    Args:
        run: The run; the caller holds its lock.
        scorer: Judges the images.
        progress: Told about every batch.

    Raises:
        UntrustworthyError: found images are incomplete and the run was not begun with that allowed.
    """
    suite = suite_of(run)
    run = make_images(run, suite, progress)
    return summarise(score(run, suite, scorer, progress), suite)[1]


def make_images(run: Run, suite: Suite, progress: Progress) -> Run:
    """The first stage: draw the images that are missing, or record those that somebody else made.

    Args:
        run: The run; the caller holds its lock.
        suite: The run's suite.
        progress: Told about every batch.

    Raises:
        UntrustworthyError: found images are incomplete and the run was not begun with that allowed.
    """
    if run.spec.source != "images":
        return generate(run, suite, lambda: load_run_generator(run), progress)
    found = found_again(run, suite)
    if run.ranks.is_first:
        record_images(run, found)
    run.ranks.meet()
    return run


def found_again(run: Run, suite: Suite) -> FoundImages:
    """The images of a run of found images, as they lie there now.

    Raises:
        UntrustworthyError: images are missing, and the run was not begun with that allowed.
    """
    steps = NO_STEPS if len(run.spec.steps) > 1 else run.spec.steps[0]
    found = find_images(
        Path(str(run.spec.images_dir)), suite, steps=steps, images_per_prompt=run.spec.images_per_prompt
    )
    if not run.record.partial:
        found.refuse_incomplete()
    return found


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
        )


def suite_of(run: Run) -> Suite:
    """The suite of a run.

    Raises:
        UntrustworthyError: the prompts are not those it was planned for, or it covers others than its spec says.
    """
    suite = read_prompts(run)
    if suite.sha256 != run.spec.suite_sha256:
        raise UntrustworthyError(
            f"{run.folder} was made for the suite {suite.name} with SHA-256 "
            f"{run.spec.suite_sha256}, but this version of selfe-eval, or the run's own file of rewritten prompts, "
            f"has {suite.sha256}. Use the version that planned it, restore the file, or start a new run."
        )
    asked = select_prompts(suite, run.spec.limit)
    is_cut = len(asked) < len(suite.prompts)
    if run.record.prompt_ids != asked or (is_cut and not run.record.partial):
        raise UntrustworthyError(
            f"run.json of {run.folder} does not cover the {len(asked)} prompts that its spec asks for, or hides "
            f"that some are left out (found {len(run.record.prompt_ids)} prompts, partial "
            f"{run.record.partial}). It was edited, or planned by another version. Start a new run with --out."
        )
    return suite


def load_run_generator(run: Run) -> Generator:
    """The generator of a run, its weights checked against the run's spec.

    Raises:
        UsageError: the checkpoint is gone, damaged, or another one than the run began with.
    """
    if run.record.checkpoint is None:
        raise UsageError(
            f"{run.folder} holds scores of images that somebody else made; there is nothing to generate. "
            "Score them again with `selfe-eval score --images`."
        )
    checkpoint = find_checkpoint(run.record.checkpoint)
    verify_checkpoint(checkpoint)
    if checkpoint.sha256 != run.spec.checkpoint_sha256:
        raise UsageError(
            f"The checkpoint {run.record.checkpoint} has changed since {run.folder} was planned: expected "
            f"{dict(run.spec.checkpoint_sha256)}, found {checkpoint.sha256}. Restore it, or start a new run."
        )
    overrides = SamplerOverrides(**{f.name: getattr(run.spec, f.name) for f in fields(SamplerOverrides)})
    from selfe_eval.generate.selfe_checkpoint import load_selfe_generator

    return load_selfe_generator(checkpoint, overrides, resolve_device(run.record.device))


def load_run_scorer(run: Run, device: str | None = None) -> Scorer:
    """The scorer that a run's record names.

    Args:
        run: The run.
        device: Where to score; by default where the run was asked to compute.

    Raises:
        UsageError: it would run code that nobody named on the command line, or as for ``load_scorer``.
    """
    config = run.record.judge.detector_config
    if config is not None:
        raise UsageError(
            f"{run.folder} is judged by the detector of {config}, which is Python code and would run. Run folders travel, "
            "so such code is run only where the command line names it: repeat the command that began the run, with its "
            "--detector-config (`geneval` in the place of `generate`). It goes on where the run stopped."
        )
    return load_scorer(run.spec.detector, run.record.judge, device or run.record.device)


def load_scorer(detector: str, judge: JudgeOptions, device: str) -> Scorer:
    """The GenEval scorer with this detector.

    Raises:
        UsageError: unknown detector or device, or weights that are missing or damaged.
    """
    from selfe_eval.score.geneval_scorer import build_scorer

    return build_scorer(detector, resolve_device(device), judge)


def refuse_incomplete(run: Run, summary: Summary) -> None:
    """Fail where planned images have no score: an average over what is left would be another number.

    Raises:
        UntrustworthyError: with the number and where to look.
    """
    missing = num_unscored(summary)
    if missing:
        planned = missing + sum(row.overall.n for row in summary.rows)
        raise UntrustworthyError(
            f"{missing} of {planned} planned images have no score, so the run is incomplete (a "
            f"missing score is never counted as wrong). `selfe-eval validate {run.folder}` names "
            f"them; go on with: {run.resume_command}"
        )
