"""``selfe-eval train``: train a bundled model or judge from scratch, or go on where it stopped."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from selfe_eval.cli.options import MAX_SEED
from selfe_eval.cli.terminal import PhaseDisplay
from selfe_eval.errors import UsageError

NETWORK, PICTURES, MACHINE = "Network and objective", "Your own pictures (0.5b and 2b)", "Machine"


class Parallel(StrEnum):
    """How several processes share a model."""

    DDP = "ddp"
    """Each holds all of it."""
    FSDP = "fsdp"
    """Each holds a part of it."""


def train(  # noqa: PLR0913 - the parameters are the options
    preset: Annotated[str, typer.Argument(help="What to train; `selfe-eval train list` shows all presets.")],
    out: Annotated[Path, typer.Option(help="Folder of all training runs; each gets a folder in it.")] = Path(
        "runs/train"
    ),
    objective: Annotated[
        str | None,
        typer.Option(help="As in self_e or self_e:target=convex,aux_start=0.", rich_help_panel=NETWORK),
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(help="Optimiser steps.", min=1, rich_help_panel=NETWORK)
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Rows of a step, on all processes together.", min=1, rich_help_panel=NETWORK),
    ] = None,
    micro_batches: Annotated[
        int | None,
        typer.Option(
            help="Parts of a batch, for accumulation and processes.", min=1, rich_help_panel=NETWORK
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of weights and steps.", min=0, max=MAX_SEED, rich_help_panel=NETWORK)
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the folder and the checkpoint.", rich_help_panel=NETWORK)
    ] = None,
    *,
    smoke: Annotated[
        bool,
        typer.Option("--smoke", help="The smallest sizes: does everything run?", rich_help_panel=NETWORK),
    ] = False,
    keep_every: Annotated[
        int | None,
        typer.Option(
            help="Steps between checkpoints that stay, for `probe` (tiny).", min=1, rich_help_panel=NETWORK
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Pictures with captions, shards, or what `encode` wrote.", rich_help_panel=PICTURES
        ),
    ] = None,
    sizes: Annotated[
        str | None, typer.Option(help="Pixels of a square: 256 or 256,512.", rich_help_panel=PICTURES)
    ] = None,
    t5: Annotated[str | None, typer.Option(help="Directory or hub name.", rich_help_panel=PICTURES)] = None,
    clip: Annotated[str | None, typer.Option(help="Directory or hub name.", rich_help_panel=PICTURES)] = None,
    autoencoder: Annotated[
        str | None, typer.Option(help="Directory or hub name.", rich_help_panel=PICTURES)
    ] = None,
    parallel: Annotated[
        Parallel | None, typer.Option(help="Under torchrun; ddp by default.", rich_help_panel=MACHINE)
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the network's blocks.", rich_help_panel=MACHINE)
    ] = False,
    checkpoint_activations: Annotated[
        bool,
        typer.Option(
            "--checkpoint-activations", help="Less memory for more computing.", rich_help_panel=MACHINE
        ),
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Events beside metrics.jsonl.", rich_help_panel=MACHINE)
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.", rich_help_panel=MACHINE)] = "auto",
    threads: Annotated[
        int, typer.Option(help="CPU threads; 0 leaves torch's choice.", min=0, rich_help_panel=MACHINE)
    ] = 0,
) -> None:
    """Train a preset; the same command goes on after an interruption.

    Example: selfe-eval train tiny --objective meanflow --iterations 2000

    On several GPUs: torchrun --nproc-per-node 8 -m selfe_eval train 2b --data DIR --t5 DIR --clip DIR --autoencoder DIR
    """
    from selfe_eval.train.options import TrainOptions
    from selfe_eval.train.presets import PRESETS, TrainingJob, check_options, folder_name, run_preset

    if preset == "list":
        for each, entry in PRESETS.items():
            typer.echo(f"{each:24}{entry.about}")
        return
    options = TrainOptions(
        objective=objective,
        iterations=iterations,
        batch_size=batch_size,
        micro_batches=micro_batches,
        seed=seed,
        name=name,
        smoke=smoke,
        keep_every=keep_every,
        data=data,
        sizes=sizes,
        t5=t5,
        clip=clip,
        autoencoder=autoencoder,
        parallel=None if parallel is None else parallel.value,
        compile=compiled,
        checkpoint_activations=checkpoint_activations,
        tensorboard=tensorboard,
    )
    check_options(preset, options)
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; expected a folder (it is made if it is not there).")
    import torch

    from selfe_eval.devices import resolve_device

    if threads:
        torch.set_num_threads(threads)
    try:
        with PhaseDisplay() as display:
            job = TrainingJob(
                folder=out / folder_name(preset, options),
                options=options,
                device=resolve_device(device),
                on_phase=display.show,
            )
            folder = run_preset(preset, job)
    except KeyboardInterrupt:
        chosen = [
            preset,
            "--out",
            str(out),
            *options.arguments(),
            "--device",
            device,
            "--threads",
            str(threads),
        ]
        again = shlex.join(["selfe-eval", "train", *chosen])
        raise KeyboardInterrupt(
            f"Interrupted. What was saved last is kept in {out / folder_name(preset, options)}. Go on with: {again}"
        ) from None
    typer.echo(str(folder))
