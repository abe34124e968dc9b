"""Options that several verbs read alike, and the way from them to a planned run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfe_eval.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from selfe_eval.runs.run import RunRecord

Ckpt = Annotated[
    str, typer.Option(metavar="NAME_OR_PATH", help="A bundled name, a folder, or its .safetensors file.")
]
Steps = Annotated[str, typer.Option(help="Step counts, separated by commas.")]
SuiteName = Annotated[
    str | None, typer.Option(help="The prompts: openmoji or geneval. By default what the checkpoint is for.")
]
ImagesPerPrompt = Annotated[int, typer.Option(min=1, help="Images of each prompt at each step count.")]
Limit = Annotated[
    int | None, typer.Option(min=1, help="At most so many prompts, evenly from the tasks; stamps it partial.")
]
DetectorName = Annotated[str, typer.Option(help="Which detector judges.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the run; the seed of each image follows from it.")]
Guidance = Annotated[float | None, typer.Option(help="Guidance scale; by default the checkpoint's.")]
Eta = Annotated[float | None, typer.Option(help="Fresh noise a step, 0 to 1; by default the checkpoint's.")]
SSchedule = Annotated[
    str | None, typer.Option(metavar="next|current|FLOAT", help="Second time of a step; as above.")
]
Out = Annotated[
    Path | None, typer.Option(help="Run folder. By default in results/runs, named after what was asked.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Images drawn together.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead of tables.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was typed, before it is checked."""

    ckpt: str
    """Name or path of the checkpoint."""
    steps: str
    """Comma-separated step counts."""
    suite: str | None
    """Name of the suite; None for the checkpoint's own."""
    images_per_prompt: int
    """Images of each prompt at each step count."""
    limit: int | None
    """At most so many prompts."""
    detector: str
    """Name of the detector."""
    seed: int
    """The run seed."""
    guidance: float | None
    """Override of the checkpoint's guidance scale."""
    eta: float | None
    """Override of the checkpoint's eta."""
    s_schedule: str | None
    """Override of the checkpoint's s schedule."""
    device: str
    """Where to compute."""
    batch_size: int
    """Images drawn together."""


def checkpoint_record(request: Request) -> RunRecord:
    """Check everything that was typed, down to the hash of the weights, and plan the run. Imports no torch.

    Raises:
        UsageError: for the first thing that is wrong.
    """
    from selfe_eval.generate.checkpoints import find_checkpoint, verify_checkpoint
    from selfe_eval.generate.overrides import SamplerOverrides
    from selfe_eval.pipeline.geneval import CheckpointJob
    from selfe_eval.suites.registry import load_suite

    steps = parse_steps(request.steps)
    overrides = SamplerOverrides(guidance=request.guidance, eta=request.eta, s_schedule=request.s_schedule)
    check_detector(request.detector)
    checkpoint = find_checkpoint(request.ckpt)
    suite = load_suite(request.suite or checkpoint.suite or "geneval")
    verify_checkpoint(checkpoint)
    return CheckpointJob(
        checkpoint=checkpoint,
        suite=suite,
        steps=steps,
        images_per_prompt=request.images_per_prompt,
        limit=request.limit,
        seed=request.seed,
        overrides=overrides,
        detector=request.detector,
        device=request.device,
        batch_size=request.batch_size,
    ).record()


def check_detector(name: str) -> None:
    """See that a detector of this name is in the table.

    Raises:
        UsageError: there is none.
    """
    from selfe_eval.score.detectors.registry import DETECTORS

    if name not in DETECTORS:
        raise unknown_name("detector", name, DETECTORS)


def parse_steps(text: str) -> tuple[int, ...]:
    """Step counts from a comma-separated list, ascending.

    Raises:
        UsageError: naming every item that is not a whole number of at least 1, or that is repeated.

    >>> parse_steps("8,1, 50")
    (1, 8, 50)
    """
    items = [item.strip() for item in text.split(",")]
    bad = [repr(item) for item in items if not _is_step_count(item)]
    if bad:
        raise UsageError(
            f"--steps {text!r}: expected whole numbers of at least 1, separated by commas, as in 1,2,4,8,50; "
            f"found {', '.join(bad)}."
        )
    steps = [int(item) for item in items]
    repeated = sorted({count for count in steps if steps.count(count) > 1})
    if repeated:
        raise UsageError(
            f"--steps {text!r}: give each step count once; repeated: {', '.join(map(str, repeated))}."
        )
    return tuple(sorted(steps))


def parse_one_step_count(text: str) -> int:
    """One step count.

    Raises:
        UsageError: it is none, or a list.
    """
    steps = parse_steps(text)
    if len(steps) > 1:
        raise UsageError(
            f"--steps {text!r}: expected one step count. For several, put the images into one folder each, "
            "named steps-004 and so on."
        )
    return steps[0]


def _is_step_count(item: str) -> bool:
    return item.isascii() and item.isdigit() and len(item) < 7 and int(item) > 0
