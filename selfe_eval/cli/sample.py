"""``selfe-eval sample``: draw pictures from a checkpoint, to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selfe_eval.cli import options
from selfe_eval.cli.asked import Sampler
from selfe_eval.cli.option_groups import with_groups
from selfe_eval.cli.terminal import talk
from selfe_eval.errors import UsageError


@with_groups
def sample(  # noqa: PLR0913 - the parameters are the options
    prompts: Annotated[list[str], typer.Argument(help="One or more prompts, each in quotes.")],
    *,
    ckpt: Annotated[str, typer.Option(help="Name of a bundled checkpoint, or a path.")] = "selfe-tiny",
    steps: Annotated[str, typer.Option(help="Step counts, comma separated: one column each.")] = "1,2,4,8,50",
    seed: Annotated[int, typer.Option(help="Of the first prompt; the next ones count up.", min=0)] = 0,
    sampler: Sampler,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="HxW", help="Pixels of a picture, multiples of 16; by default the checkpoint's own."
        ),
    ] = None,
    scale: Annotated[int, typer.Option(help="Enlarge each picture so many times.", min=1, max=16)] = 3,
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("samples.png"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Write a grid of samples: a row for each prompt, a column for each step count.

    \b
    Examples:
      selfe-eval sample "a photo of a red car" "a photo of two dogs" --steps 1,2,50
      selfe-eval sample "a photo of a red car" --steps 3 --s-schedule 0.8,0.5,0 --warp 0 --negative-prompt "a dog"
    """  # noqa: D301 - Typer needs the control character, not its spelling
    from selfe_eval.devices import resolve_device
    from selfe_eval.generate.checkpoints import find_checkpoint, verify_checkpoint

    if out.suffix.lower() != ".png" or not out.parent.is_dir():
        raise UsageError(f"--out {out}: expected a file name that ends in .png, in a folder that is there.")
    step_counts, pixels = options.parse_steps(steps), parse_size(size)
    overrides = sampler.overrides()
    overrides.refuse_other_step_counts(step_counts)
    checkpoint = find_checkpoint(ckpt)
    verify_checkpoint(checkpoint)
    from selfe_eval.generate.sample_grid import SampleSheet, draw_samples

    sheet = SampleSheet(prompts=prompts, step_counts=step_counts, first_seed=seed, scale=scale, size=pixels)
    for note in draw_samples(checkpoint, sheet, overrides, path=out, device=resolve_device(device)):
        talk(f"note: {note}")
    typer.echo(str(out))


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Height and width in pixels.

    Raises:
        UsageError: it is not two whole numbers, both multiples of 16.

    >>> parse_size("64x96")
    (64, 96)
    """
    if text is None:
        return None
    sides = text.lower().split("x")
    if len(sides) == 2 and all(side.isascii() and side.isdigit() and len(side) < 6 for side in sides):
        height, width = map(int, sides)
        if min(height, width) > 0 and height % 16 == width % 16 == 0:
            return height, width
    raise UsageError(
        f"--size {text!r}: expected height and width in pixels, both multiples of 16, as in 64x96."
    )
