"""``selfe-eval sample``: draw pictures from a checkpoint, to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from selfe_eval.errors import UsageError


def sample(
    prompts: Annotated[list[str], typer.Argument(help="One or more prompts, each in quotes.")],
    ckpt: Annotated[str, typer.Option(help="Name of a bundled checkpoint, or a path.")] = "selfe-tiny",
    steps: Annotated[str, typer.Option(help="Step counts, comma separated: one column each.")] = "1,2,4,8,50",
    seed: Annotated[int, typer.Option(help="Of the first prompt; the next ones count up.", min=0)] = 0,
    scale: Annotated[int, typer.Option(help="Enlarge each picture so many times.", min=1, max=16)] = 3,
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("samples.png"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Write a grid of samples: a row for each prompt, a column for each step count.

    Example: selfe-eval sample "a photo of a red car" "a photo of two dogs" --steps 1,2,50
    """
    from selfe_eval.cli.options import parse_steps
    from selfe_eval.devices import resolve_device
    from selfe_eval.generate.checkpoints import find_checkpoint, verify_checkpoint

    if out.suffix.lower() != ".png" or not out.parent.is_dir():
        raise UsageError(f"--out {out}: expected a file name that ends in .png, in a folder that is there.")
    step_counts = parse_steps(steps)
    checkpoint = find_checkpoint(ckpt)
    verify_checkpoint(checkpoint)
    from selfe_eval.generate.sample_grid import draw_samples

    unknown = draw_samples(
        checkpoint,
        prompts,
        step_counts=step_counts,
        first_seed=seed,
        scale=scale,
        path=out,
        device=resolve_device(device),
    )
    for prompt, words in unknown.items():
        typer.echo(f"note: the model has never seen {', '.join(words)!r} of {prompt!r}.", err=True)
    typer.echo(str(out))
