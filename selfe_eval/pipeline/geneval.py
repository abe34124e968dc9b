"""The main job: take a planned run through the stages that are left, with what its record names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from selfe_eval.devices import resolve_device
from selfe_eval.errors import UntrustworthyError, UsageError
from selfe_eval.generate.checkpoints import find_checkpoint, verify_checkpoint
from selfe_eval.generate.models import load_model_generator, model_again, model_files
from selfe_eval.generate.overrides import SamplerOverrides
from selfe_eval.generate.peers import PeerSettings
from selfe_eval.generate.protocol import Generator
from selfe_eval.pipeline.found_images import NO_STEPS, FoundImages, find_images, record_images
from selfe_eval.pipeline.generate import FirstLook, generate
from selfe_eval.pipeline.own_prompts import read_prompts
from selfe_eval.pipeline.plan import select_prompts
from selfe_eval.pipeline.progress import Progress
from selfe_eval.pipeline.score import Scorer
from selfe_eval.pipeline.summarise import num_unscored
from selfe_eval.records import Suite
from selfe_eval.report.summary import Summary
from selfe_eval.runs.judge import JudgeOptions
from selfe_eval.runs.run import Run


def make_images(
    run: Run,
    suite: Suite,
    progress: Progress,
    first_look: FirstLook | None = None,
    found: FoundImages | None = None,
) -> Run:
    """The first stage: draw the images that are missing, or record those that somebody else made.

    Args:
        run: The run; the caller holds its lock.
        suite: The run's suite.
        progress: Told about every batch.
        first_look: Whoever will judge the images; shown the first one that is drawn.
        found: The images that somebody else made, where the caller has just looked for them.

    Raises:
        UntrustworthyError: found images are incomplete and the run was not begun with that allowed.
        UsageError: ``first_look`` does not take such images.
    """
    if run.spec.is_drawn:
        return generate(run, suite, lambda: load_run_generator(run), progress, first_look)
    found = found or found_again(run, suite)
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
    """The generator of a run, its files checked against the run's spec.

    Raises:
        UsageError: the model is gone, damaged, or another one than the run began with, or it is code that nobody
            named on the command line.
    """
    if run.record.checkpoint is None:
        raise UsageError(
            f"{run.folder} holds scores of images that somebody else made; there is nothing to generate. "
            "Score them again with `selfe-eval score --images`."
        )
    overrides = SamplerOverrides(**{f.name: getattr(run.spec, f.name) for f in fields(SamplerOverrides)})
    if run.spec.source == "model":
        return _load_other_model(run, run.record.checkpoint, overrides)
    checkpoint = find_checkpoint(run.record.checkpoint)
    verify_checkpoint(checkpoint)
    _refuse_changed(run, checkpoint.sha256)
    from selfe_eval.generate.selfe_checkpoint import load_selfe_generator

    return load_selfe_generator(checkpoint, overrides, resolve_device(run.record.device))


def _load_other_model(run: Run, reference: str, overrides: SamplerOverrides) -> Generator:
    model = model_again(str(run.spec.adapter), reference)
    if model.is_code and model.place != run.named:
        raise UsageError(
            f"The images of {run.folder} are drawn by {model.place}, which is Python code and would run. Run folders "
            "travel, so such code is run only where the command line names it: repeat the command that began the run, "
            f"with --model {model.place}. It goes on where the run stopped."
        )
    settings = None if run.spec.settings is None else PeerSettings.from_json(run.spec.settings)
    _refuse_changed(run, model_files(model, settings))
    return load_model_generator(model, settings, overrides, resolve_device(run.record.device))


def _refuse_changed(run: Run, found: Mapping[str, str]) -> None:
    if found != run.spec.checkpoint_sha256:
        kind = "checkpoint" if run.spec.source == "checkpoint" else "model"
        raise UsageError(
            f"The {kind} {run.record.checkpoint} has changed since {run.folder} was planned: expected "
            f"{dict(run.spec.checkpoint_sha256)}, found {dict(found)}. Restore it, or start a new run."
        )


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
