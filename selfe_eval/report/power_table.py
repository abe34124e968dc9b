"""What a design can detect, in a terminal: precision, chances of the verdicts, and one sentence."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from selfe_eval.report.power import Chances, FromRun, PowerReport, answer, points
from selfe_eval.stats.latent_scores import Components
from selfe_eval.stats.power import detectable


def print_power(report: PowerReport, console: Console) -> None:
    """Write what is assumed, the two tables, and the answer."""
    question = report.question
    console.print(Text(_assumed(question.model.components, question.from_run)))
    console.print(
        Text(
            f"Standard errors, and paired differences detected in 80 % of runs (MDE, alpha 5 %), around a score of "
            f"{100 * question.baseline:.1f} %, {report.num_prompts} prompts, in percentage points:"
        )
    )
    console.print(_precision_table(report))
    console.print(
        Text("How often a curve with these true scores is called monotone / violated / inconclusive, in %:")
    )
    console.print(_chances_table(report))
    console.print(Text(answer(report), style="bold"))


def _assumed(components: Components, run: FromRun | None) -> str:
    shares = {
        "prompt": components.prompt,
        "seed": components.seed,
        "prompt x step": components.prompt_step,
    }
    if run is None:
        listed = ", ".join(f"{name} {share:.2f}" for name, share in shares.items())
        return (
            f"Shares of the latent variance, assumed: {listed}, residual {components.residual:.2f}. The seed's is a "
            "guess; --from-run RUN measures all of them."
        )
    listed = ", ".join(
        f"{name} {share:.2f} ±{1.96 * error:.2f}"
        for (name, share), error in zip(shares.items(), run.calibrated.errors, strict=True)
    )
    clipped = f" Clipped: {', '.join(run.calibrated.clipped)}." if run.calibrated.clipped else ""
    return (
        f"Shares of the latent variance, from {'the PARTIAL run of ' if run.partial else ''}{run.model_name} "
        f"({run.num_prompts} prompts x {run.images_per_prompt}): {listed}, residual {components.residual:.2f}.{clipped} "
        f"The run's own standard error at {run.steps[-1]} steps is {points(run.observed_se)}; these shares give "
        f"{points(run.modelled_se)}."
    )


def _precision_table(report: PowerReport) -> Table:
    table = _new_table("images", "one score", "paired", "fixed prompts", "new noise", "unpaired")
    for heading in ("MDE 1-sided", "MDE 2-sided"):
        table.add_column(heading, justify="right")
    for images, found in report.precisions.items():
        errors = (found.single, found.paired, found.paired_fixed, found.new_noise, found.unpaired)
        finds = (detectable(found.paired, two_sided=two_sided) for two_sided in (False, True))
        table.add_row(str(images), *(f"{100 * number:.2f}" for number in (*errors, *finds)))
    return table


def _chances_table(report: PowerReport) -> Table:
    designs = report.question.images_per_prompt
    table = Table(box=box.HORIZONTALS, show_edge=False, padding=0)
    table.add_column("curve")
    table.add_column("true scores, %")
    for heading in ("delta", *(f"{images} images" for images in designs)):
        table.add_column(heading, justify="right", no_wrap=True)
    for start in range(0, len(report.chances), len(designs)):
        row = report.chances[start : start + len(designs)]
        scores = " ".join(f"{100 * score:.1f}" for score in row[0].scores)
        table.add_row(row[0].curve, scores, points(row[0].delta), *map(_cell, row))
    return table


def _cell(chances: Chances) -> str:
    found = chances.outcomes
    return "/".join(f"{100 * found[name]:.0f}" for name in ("monotone", "violated", "inconclusive"))


def _new_table(*headings: str) -> Table:
    table = Table(box=box.HORIZONTALS, show_edge=False, padding=0)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table
