"""What a verb that measures is asked, in groups of options; and the way from them to a planned run."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from selfe_eval.cli import options
from selfe_eval.cli.terminal import talk
from selfe_eval.errors import UsageError, unknown_name
from selfe_eval.generate import overrides
from selfe_eval.generate.overrides import SamplerOverrides
from selfe_eval.runs.judge import JudgeOptions
from selfe_eval.runs.measures import MeasureOptions

if TYPE_CHECKING:
    from selfe_eval.pipeline.jobs import Job

DEFAULT_STEPS = "1,2,4,8,50"
DEFAULT_IMAGES_PER_PROMPT = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the images come from."""

    ckpt: Annotated[
        str | None,
        typer.Option(metavar="NAME_OR_PATH", help="A bundled name, a folder, or its .safetensors file."),
    ] = None
    """A Self-E checkpoint."""
    model: Annotated[
        str | None,
        typer.Option(
            metavar="diffusers:PATH|PRESET|MODULE:NAME",
            help="Any other model: a diffusers pipeline, a preset such as flux.1-dev, or a generator of yours.",
        ),
    ] = None
    """Anything else that draws."""
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Images anybody made, in the official layout.")
    ] = None
    """A folder of images."""
    name: Annotated[
        str | None, typer.Option(help="The model's name in tables; by default its file's or folder's.")
    ] = None
    """What to call it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which images."""

    steps: Annotated[
        str | None,
        typer.Option(
            help=f"Step counts, separated by commas; by default {DEFAULT_STEPS}.", show_default=False
        ),
    ] = None
    """Comma-separated step counts."""
    suite: options.SuiteName = None
    """Name of the suite; None for the model's own."""
    prompts: options.PromptsFile = None
    """File of rewritten prompts."""
    images_per_prompt: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=f"Images of each prompt at each step count; {DEFAULT_IMAGES_PER_PROMPT}, or as many as found.",
            show_default=False,
        ),
    ] = None
    """Images of each prompt at each step count."""
    limit: options.Limit = None
    """At most so many prompts."""
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="With --images: take what is there, stamped partial.")
    ] = False
    """Whether found images may be incomplete."""
    seed: options.Seed = 0
    """The run seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampler:
    """Changes to the model's sampler."""

    guidance: options.Guidance = None
    """Guidance scale."""
    guidance_norm: options.GuidanceNorm = None
    """What guidance keeps."""
    negative_prompt: options.NegativePrompt = None
    """What the unconditional branch reads."""
    eta: options.Eta = None
    """Share of fresh noise a step."""
    noise_rule: options.NoiseRule = None
    """How much noise eta stands for."""
    s_schedule: options.SSchedule = None
    """Second time of a step."""
    warp: options.Warp = None
    """Mean shift of the times."""

    def overrides(self) -> SamplerOverrides:
        """The same, checked.

        Raises:
            UsageError: a value is out of range.
        """
        return SamplerOverrides(
            **{field.name: getattr(self, field.name) for field in fields(overrides.SamplerOverrides)}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """What judges the images."""

    detector: options.DetectorName = None
    """Name of the detector; None for the suite's own."""
    detector_weights: options.DetectorWeights = None
    """Weight file or folder."""
    detector_config: options.DetectorConfig = None
    """Configuration of a detector of the user's own."""
    color_weights: options.ColorWeights = None
    """``openai``, a weight file or a folder."""
    color_mode: options.ColorModeName = "deterministic"
    """How colours are computed."""

    def name_for(self, suite: str) -> str:
        """The detector that judges this suite.

        Raises:
            UsageError: there is no detector of the name that was typed.
        """
        from selfe_eval.score.detectors.registry import DETECTORS, detector_for

        if self.detector is not None and self.detector not in DETECTORS:
            raise unknown_name("detector", self.detector, DETECTORS)
        return self.detector or detector_for(suite)

    def options(self) -> JudgeOptions:
        """The files, with absolute paths, so that the run can be resumed from anywhere.

        Raises:
            UsageError: a file is not there.
        """
        color = self.color_weights
        return JudgeOptions(
            detector_weights=options.absolute("--detector-weights", self.detector_weights),
            detector_config=options.absolute("--detector-config", self.detector_config),
            color_weights=color
            if color in {None, "openai"}
            else options.absolute("--color-weights", Path(str(color))),
            color_mode=self.color_mode,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the work is done and kept."""

    out: options.Out = None
    """The run folder."""
    device: options.Device = "auto"
    """Where to compute."""
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Images drawn together; by default 64, or what the model's preset says.",
            show_default=False,
        ),
    ] = None
    """Images drawn together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """The files and protocols of the metrics beside GenEval."""

    reference: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|FILE.npz|RUN[@STEPS]",
            help="What images are compared with. The openmoji world brings its own.",
        ),
    ] = None
    """Folder of images, statistics, or a run."""
    clip_protocol: Annotated[
        str, typer.Option(metavar="default|hessel|torchmetrics|dmd2", help="How CLIP-score is computed.")
    ] = "default"
    """A key of the table of protocols."""
    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EXTRACTOR=PATH",
            envvar="SELFE_EVAL_EXTRACTOR_WEIGHTS",  # SELFE_EVAL_WEIGHTS is the folder where weights are looked for
            help="Weights of an extractor, such as inception or dinov2; may be repeated.",
        ),
    ] = None
    """``name=path`` pairs."""

    def options(self, metrics: tuple[str, ...]) -> MeasureOptions:
        """The same, checked, with absolute paths.

        Raises:
            UsageError: an unknown extractor or protocol, or a file that is not there.
        """
        from selfe_eval.score.clip_score import PROTOCOLS

        if self.clip_protocol not in PROTOCOLS:
            raise unknown_name("CLIP-score protocol", self.clip_protocol, PROTOCOLS)
        return MeasureOptions(
            metrics=metrics,
            reference=_absolute_reference(self.reference),
            clip_protocol=self.clip_protocol,
            weights=dict(_weights(pair) for pair in self.weights or ()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """All of it."""

    source: Source
    """Where the images come from."""
    asked: Asked
    """Which images."""
    sampler: SamplerOverrides
    """Changes to the model's sampler."""
    judge: Judge
    """What judges them."""
    place: Place
    """Where the work is done and kept."""
    measures: MeasureOptions
    """What is measured."""

    def job(self) -> Job:
        """The job that is asked for, checked down to the hashes of the weights. Imports no torch.

        Raises:
            UsageError: for the first thing that is wrong.
            UntrustworthyError: found images are incomplete, and nobody allowed that.
        """
        source = self.source
        given = [option for option in ("ckpt", "model", "images") if getattr(source, option) is not None]
        if len(given) != 1:
            found = " and ".join(f"--{option}" for option in given) or "none of them"
            raise UsageError(
                "Say where the images come from with one of --ckpt (a checkpoint of Self-E), --model (another model) and "
                f"--images (a folder); found {found}."
            )
        if source.images is not None:
            return self._found_images(source.images)
        return self._checkpoint(source.ckpt) if source.ckpt is not None else self._model(str(source.model))

    def _checkpoint(self, text: str) -> Job:
        from selfe_eval.generate.checkpoints import find_checkpoint, verify_checkpoint
        from selfe_eval.pipeline.jobs import CheckpointJob

        if self.source.name is not None:
            raise UsageError("--name goes with --model and --images: a checkpoint says its own name.")
        drawing = self._drawing()
        checkpoint = find_checkpoint(text)
        suite = options.asked_suite(self.asked.suite or checkpoint.suite or "geneval", self.asked.prompts)
        detector = self.judge.name_for(suite.name)
        verify_checkpoint(checkpoint)
        return CheckpointJob(checkpoint=checkpoint, suite=suite, detector=detector, **drawing)

    def _model(self, text: str) -> Job:
        from selfe_eval.generate.models import find_model, parse_model, refuse_foreign_options
        from selfe_eval.pipeline.jobs import ModelJob

        drawing = self._drawing()
        suite = options.asked_suite(self.asked.suite or "geneval", self.asked.prompts)
        detector = self.judge.name_for(suite.name)
        refuse_foreign_options(parse_model(text), self.sampler)  # before anything is fetched or hashed
        model = find_model(text)
        return ModelJob(model=model, name=self.source.name, suite=suite, detector=detector, **drawing)

    def _drawing(self) -> dict[str, Any]:
        """What is asked alike of every model."""
        steps = options.parse_steps(self.asked.steps or DEFAULT_STEPS)
        self.sampler.refuse_other_step_counts(steps)
        if self.asked.allow_partial:
            raise UsageError("--allow-partial goes with --images: what a model has not drawn yet is drawn.")
        return {
            "steps": steps,
            "images_per_prompt": self.asked.images_per_prompt or DEFAULT_IMAGES_PER_PROMPT,
            "limit": self.asked.limit,
            "seed": self.asked.seed,
            "overrides": self.sampler,
            "judge": self.judge.options(),
            "measures": self.measures,
            "device": self.place.device,
            "batch_size": self.place.batch_size,
        }

    def _found_images(self, folder: Path) -> Job:
        from selfe_eval.pipeline.found_images import NO_STEPS, find_images
        from selfe_eval.pipeline.jobs import FoundImagesJob

        self._refuse_drawing_options()
        steps, suite_name = self.asked.steps, self.asked.suite or "geneval"
        suite = options.asked_suite(suite_name, self.asked.prompts)
        detector, judge = self.judge.name_for(suite.name), self.judge.options()
        count = NO_STEPS if steps is None else options.parse_one_step_count(steps)
        found = find_images(folder, suite, steps=count, images_per_prompt=self.asked.images_per_prompt)
        if steps is not None and found.steps != (count,):
            raise UsageError(
                f"--steps {steps}: the folders in {folder} say {', '.join(map(str, found.steps))} themselves, by names "
                "such as steps-004. Leave --steps out."
            )
        for line in found.report():
            talk(line)
        if not self.asked.allow_partial:
            found.refuse_incomplete()
        return FoundImagesJob(
            found=found,
            suite=suite,
            model=self.source.name or found.folder.name,
            detector=detector,
            judge=judge,
            measures=self.measures,
            device=self.place.device,
        )

    def _refuse_drawing_options(self) -> None:
        """Images that are there already are not drawn, and all of them are looked at."""
        given = [f"--{name.replace('_', '-')}" for name in self.sampler.changes()]
        given += [] if self.asked.limit is None else ["--limit"]
        given += [] if self.asked.seed == 0 else ["--seed"]
        given += [] if self.place.batch_size is None else ["--batch-size"]
        if given:
            raise UsageError(
                f"{', '.join(given)} cannot be given with --images: those images are there already. Leave it out."
            )


def _absolute_reference(typed: str | None) -> str | None:
    """The reference with an absolute path; a step count behind it stays."""
    if typed is None:
        return None
    path, at, steps = typed.rpartition("@")
    if at and steps.isdigit() and not Path(typed).exists():
        return f"{options.absolute('--reference', Path(path).expanduser())}@{steps}"
    return options.absolute("--reference", Path(typed).expanduser())


def _weights(pair: str) -> tuple[str, str]:
    """Extractor and absolute path."""
    from selfe_eval.score.features.registry import EXTRACTORS

    name, equals, path = pair.partition("=")
    if not equals:
        raise UsageError(f"--weights {pair!r}: expected EXTRACTOR=PATH, as in inception=weights.pth.")
    if name not in EXTRACTORS:
        raise unknown_name("extractor", name, EXTRACTORS)
    return name, str(options.absolute("--weights", Path(path).expanduser()))
