"""The verb ``ablate``: the paper's ablation at the size of the openmoji world, from training to table."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from selfe_eval.cli import options
from selfe_eval.cli.experiment import AsJson, OutputFormat, interrupted_in, write_report
from selfe_eval.cli.leaderboard import Format
from selfe_eval.cli.terminal import PhaseDisplay, stage_progress, talk
from selfe_eval.errors import UsageError


def ablate(  # noqa: PLR0913 - the parameters are the options
    *,
    out: Annotated[Path, typer.Option(help="Folder of the ablation: plan, trainings, runs and result.")],
    variants: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="Variants to train, by default Table 2's; the same folder takes more later. list: print them, and end.",
        ),
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(min=1, help="Optimiser steps of each; by default those of `train tiny`.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Rows of an optimiser step; by default those of `train tiny`.")
    ] = None,
    warm_start: Annotated[
        int,
        typer.Option(min=0, help="First steps: flow matching, trained once for each seed, for all variants."),
    ] = 0,
    seeds: Annotated[str, typer.Option(help="Of the trainings: each variant is trained with each.")] = "0",
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Variant to compare the others with; by default flow_matching.",
            show_default=False,
        ),
    ] = None,
    steps: options.Steps = "1,2,4,8,50",
    images_per_prompt: options.ImagesPerPrompt = 4,
    limit: options.Limit = None,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Smallest network and sizes: only to see that everything runs.")
    ] = False,
    device: options.Device = "auto",
    output_format: OutputFormat = Format.RICH,
    as_json: AsJson = False,
) -> None:
    """Train the variants of the paper's Table 2 under one budget, measure each, and print the tables.

    The same command again goes on where it stopped, and one with other variants or seeds adds to the folder; what is there is
    not trained, drawn or measured again. The runs are ordinary ones: `leaderboard DIR/runs/*`.

    \b
    Examples:
      selfe-eval ablate --out ablation --variants flow_matching,self_e --smoke --limit 60
      selfe-eval ablate --out ablation --iterations 8000 --seeds 0,1,2 --device cuda
      selfe-eval ablate --out ablation --variants self_e,self_e-noise --baseline self_e --iterations 8000
      selfe-eval ablate --out ablation --variants list
    """  # noqa: D301 - Typer needs the control character, not its spelling
    from selfe_eval.pipeline.ablate import (
        BASELINE,
        DETECTOR,
        TABLE_2,
        VARIANTS,
        AblationPlan,
        Listener,
        check_variants,
        run_ablation,
    )

    if variants == "list":
        for name, variant in VARIANTS.items():
            typer.echo(f"{name:18}{variant.objective:49}{variant.about}")
        return
    names = TABLE_2 if variants is None else tuple(name.strip() for name in variants.split(","))
    check_variants(names, baseline)
    step_counts, training_seeds = options.parse_steps(steps), parse_seeds(seeds)
    from selfe_eval.devices import resolve_device
    from selfe_eval.pipeline.geneval import load_scorer
    from selfe_eval.runs.judge import JudgeOptions
    from selfe_eval.train.ablation import budget_of

    where = resolve_device(device)
    plan = AblationPlan(
        variants=names,
        seeds=training_seeds,
        budget=budget_of(
            num_steps=iterations,
            batch_size=batch_size,
            warm_start_steps=warm_start,
            is_smoke=smoke,
        ),
        suite=options.asked_suite("openmoji", None),
        steps=step_counts,
        images_per_prompt=images_per_prompt,
        limit=limit,
    )
    with interrupted_in(out):
        report = run_ablation(
            plan,
            out,
            baseline=baseline or BASELINE,
            device=where,
            load_scorer=lambda: load_scorer(DETECTOR, JudgeOptions(), where),
            listener=Listener(training=_training_display, progress=stage_progress(), announce=talk),
        )
    write_report(report, Format.JSON if as_json else output_format)
    talk(f"run folders: {out}/runs")


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds from a comma-separated list, in its order.

    Raises:
        UsageError: one is no whole number of at least 0, or is there twice.

    >>> parse_seeds("0, 2")
    (0, 2)
    """
    items = [item.strip() for item in text.split(",")]
    bad = [repr(item) for item in items if not (item.isascii() and item.isdigit() and len(item) < 10)]
    if bad:
        raise UsageError(
            f"--seeds {text!r}: expected whole numbers of at least 0, separated by commas, as in 0,1; "
            f"found {', '.join(bad)}."
        )
    seeds = tuple(int(item) for item in items)
    repeated = sorted({str(seed) for seed in seeds if seeds.count(seed) > 1})
    if repeated:
        raise UsageError(f"--seeds {text!r}: give each seed once; repeated: {', '.join(repeated)}.")
    return seeds


@contextlib.contextmanager
def _training_display() -> Iterator[Callable[[str, int, int, dict[str, float]], None]]:
    with PhaseDisplay() as display:
        yield display.show
