"""Options that several verbs read alike, and what is typed as their values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from selfe_eval.errors import UsageError
from selfe_eval.generate import overrides
from selfe_eval.runs.judge import ColorMode

if TYPE_CHECKING:
    from selfe_eval.records import Suite

Ckpt = Annotated[
    str, typer.Option(metavar="NAME_OR_PATH", help="A bundled name, a folder, or its .safetensors file.")
]
Steps = Annotated[str, typer.Option(help="Step counts, separated by commas.")]
SuiteName = Annotated[
    str | None, typer.Option(help="The prompts: openmoji or geneval. By default what the checkpoint is for.")
]
PromptsFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Rewritten prompts: the suite's metadata lines, or a .txt, one a line."
    ),
]
ImagesPerPrompt = Annotated[int, typer.Option(min=1, help="Images of each prompt at each step count.")]
Limit = Annotated[
    int | None, typer.Option(min=1, help="At most so many prompts, evenly from the tasks; stamps it partial.")
]
DetectorName = Annotated[
    str | None,
    typer.Option(
        metavar="openmoji|transformers|mmdet|hf-weights",
        help="Which detector judges. By default openmoji for its suite, else transformers: the official weights.",
    ),
]
DetectorWeights = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="The detector's weights. By default looked for, then downloaded."),
]
DetectorConfig = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="With mmdet: the config of a detector of your own. It is code that runs."
    ),
]
ColorWeights = Annotated[
    str | None,
    typer.Option(
        metavar="openai|PATH", help="The colour model's weights. By default what the detector goes with."
    ),
]
ColorModeName = Annotated[
    ColorMode, typer.Option(help="Colours in float32, or in half precision as the reference computes them.")
]
MAX_SEED = 2**62
"""Of what seeds a generator of torch, which takes 64 bits; some have a constant added."""
Seed = Annotated[int, typer.Option(min=0, help="Of the run; the seed of each image follows from it.")]
Guidance = Annotated[float | None, typer.Option(help="Guidance scale; by default the checkpoint's.")]
GuidanceNorm = Annotated[
    overrides.GuidanceNorm | None,
    typer.Option(
        help="What guidance keeps of a picture: its energy (sample), that of its middling part, nothing."
    ),
]
NegativePrompt = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="What guidance leads away from, instead of the null prompt."),
]
Eta = Annotated[float | None, typer.Option(help="Fresh noise a step, 0 to 1; by default the checkpoint's.")]
NoiseRule = Annotated[
    overrides.NoiseRule | None, typer.Option(help="How much noise eta stands for; as above.")
]
SSchedule = Annotated[
    str | None,
    typer.Option(
        metavar="next|current|FLOAT|LIST",
        help="Second time of a step; as above. A list, as in 0.8,0.5,0, has one for each step.",
    ),
]
Warp = Annotated[
    float | None, typer.Option(help="Shift of the times towards noise, 0: none; by default the model's own.")
]
Out = Annotated[
    Path | None, typer.Option(help="Run folder. By default in results/runs, named after what was asked.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Images drawn together.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead of tables.")]


def asked_suite(name: str, prompts: Path | None) -> Suite:
    """The suite of this name, with the prompts of a file where there is one.

    Raises:
        UsageError: there is no such suite, or the file does not fit it.
    """
    from selfe_eval.suites.registry import load_suite
    from selfe_eval.suites.rewritten import rewritten_suite

    suite = load_suite(name)
    return suite if prompts is None else rewritten_suite(suite, prompts)


def absolute(option: str, path: Path | None) -> str | None:
    """Where a file or folder lies, so that a run can be resumed from anywhere.

    Raises:
        UsageError: it is not there.
    """
    if path is None:
        return None
    if not path.exists():
        raise UsageError(
            f"{option} {path}: expected a file or folder, found none there (looked from {Path.cwd()})."
        )
    return str(path.resolve())


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
